# Everything needs Python 3.11 or later and make; the rest is fetched into .venv (to run and test) and .tools (to check).

PYTHON ?= python3
# Further options for "make run": --config FILE, --data-dir FOLDER, --listen ENDPOINT. For "make bench": --short, names of
# workloads, and more that --help tells. For "make soak": --seconds, --clients, --workers, and more that --help tells.
OPTIONS ?=
# What "make test" runs, and in how many processes: one more than there are processors, for much of the time one of them waits
# for the disk. Short tests come last, so that all end together. "tests.system" takes minutes.
TESTS ?= tests.integration tests.unit
JOBS ?= $(shell expr $$(nproc) + 1)

# python-ldap is built against headers of the system: what needs it is tested where they are.
INCLUDE = $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')
LDAP = $(shell cc -E -x c -I$(INCLUDE) -include Python.h -include ldap.h -include sasl/sasl.h /dev/null > /dev/null 2>&1 && echo ,ldap)
EXTRAS = postgresql,test$(LDAP)

PIP = .venv/bin/python -m pip --quiet --disable-pip-version-check
SOURCES := $(shell find dockreg twisted/plugins -name '*.py') setup.py pyproject.toml README.rst

.PHONY: run test bench soak lint types docs clean

run: .venv/installed
	.venv/bin/twistd --nodaemon --pidfile= dockreg $(OPTIONS)

# Only "tests" and "benchmarks" can be imported from the checkout: what is tested is dockreg as it was installed.
test: .venv/installed
	mkdir -p .venv/importable
	ln -sfn $(CURDIR)/tests $(CURDIR)/benchmarks .venv/importable
	PYTHONPATH=$(CURDIR)/.venv/importable .venv/bin/trial -j$(JOBS) $(TESTS)

# Side by side with other registries that are installed here; .ci/clients registry builds the one that counts.
bench: .venv/installed .venv/benchmarks
	mkdir -p .venv/importable
	ln -sfn $(CURDIR)/benchmarks .venv/importable
	PYTHONPATH=$(CURDIR)/.venv/importable .venv/bin/python -P -m benchmarks $(OPTIONS)

# Many clients at once against an installed daemon, for two minutes or for hours.
soak: .venv/installed
	mkdir -p .venv/importable
	ln -sfn $(CURDIR)/tests .venv/importable
	PYTHONPATH=$(CURDIR)/.venv/importable .venv/bin/python -P -m tests.soak $(OPTIONS)

lint: .tools/installed
	.tools/bin/ruff check .
	.tools/bin/ruff format --check .
	PYTHONPATH=$(CURDIR) .tools/bin/lint-imports

types: .tools/installed
	.tools/bin/mypy --config-file pyproject.toml

docs: .tools/installed
	.tools/bin/sphinx-build -W --keep-going -q -b html docs build/docs

clean:
	rm -rf .venv .tools build dist dockreg.egg-info _trial_temp* .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# The dependencies change seldom; dockreg itself is installed again whenever a source is newer. Not editable: twistd finds
# plugins of installed packages only.
.venv/dependencies: setup.py
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade pip
	rm -rf build/lib dockreg.egg-info
	$(PIP) install '.[$(EXTRAS)]'
	touch $@

.venv/installed: .venv/dependencies $(SOURCES)
	rm -rf build/lib dockreg.egg-info
	$(PIP) install --no-deps --force-reinstall .
	touch $@

.venv/benchmarks: .venv/dependencies benchmarks/requirements.txt
	$(PIP) install --requirement benchmarks/requirements.txt
	touch $@

# The tools look at the checkout, and at the dependencies that it imports.
.tools/installed: .ci/tools.txt setup.py
	$(PYTHON) -m venv .tools
	rm -rf build/lib dockreg.egg-info
	.tools/bin/python -m pip --quiet --disable-pip-version-check install --requirement .ci/tools.txt '.[postgresql,test]'
	.tools/bin/python -m pip --quiet --disable-pip-version-check uninstall --yes dockreg
	touch $@

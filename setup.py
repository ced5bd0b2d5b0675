"""Packaging of dockreg: the package, the plugin for twistd, and the ``dockreg`` command."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    """The version that the package has."""
    found = re.search(
        r'^VERSION = "([^"]+)"$', (HERE / "dockreg" / "version.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found is not None
    return found[1]


setup(
    name="dockreg",
    version=version(),
    description="A container registry on Twisted, for Docker engines of every age and for OCI clients.",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="MIT",
    license_files=["LICENSE"],
    author="dockreg developers",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Topic :: System :: Software Distribution",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    # The plugin's folder has no __init__.py, so that it can be part of the package "twisted.plugins" of Twisted.
    packages=[*find_packages(include=["dockreg", "dockreg.*"]), "twisted.plugins"],
    package_data={"dockreg": ["py.typed"]},
    install_requires=[
        # The streaming of requests overrides private names of twisted.web, and is tested with this series.
        "Twisted[tls]>=26.10,<27",
        "klein>=24.8",
        "Werkzeug>=3.1",
        "treq>=26.7",
        "zope.interface>=8",
        "attrs>=25.1",
        "SQLAlchemy>=2.1,<2.2",
        "alembic>=1.18",
        "argon2-cffi>=25.1",
        "bcrypt>=5",
        "PyJWT>=2.10",
        "cryptography>=45",
        "prometheus-client>=0.22",
        "zstandard>=0.23",
        "click>=8.1",
        "rich>=14",
    ],
    extras_require={
        "postgresql": ["psycopg[binary]>=3.2"],
        # Built against libldap of the system: Debian's libldap-dev and libsasl2-dev.
        "ldap": ["python-ldap>=3.4.5"],
        "test": ["hypothesis>=6.100", "docker-registry-client>=0.5.2"],
    },
    entry_points={"console_scripts": ["dockreg = dockreg.cli.command:main"]},
    zip_safe=False,
)

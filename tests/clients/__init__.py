"""
The registry judged by programs that nobody here wrote: engines, builders, copiers, signers.

They take minutes and need the programs that ``.ci/run`` installs and ``.ci/clients`` builds::

    .ci/clients && PATH=$PWD/build/go/bin:$PATH make test TESTS=tests.clients JOBS=1
"""

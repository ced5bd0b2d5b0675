"""A daemon over the library that breaks its disk, and a customer who has pushed something already."""

from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.faults import outside
from tests.faults.asking import asking, done
from tests.faults.below import Below, source
from tests.faults.contents import Contents, Manifest
from tests.faults.customer import Customer
from tests.processes import PreparedDaemon

NAME = "crash/app"
#: The configuration with which small blobs are files as all others.
IN_FILES = "blobs.small_bytes = 0\n"


class FaultCase(SynchronousTestCase):
    """What tests of faults have in common."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        self.daemon = PreparedDaemon(folder, config=self.config())
        self.below = Below(self.daemon.data, folder / "below", journal=self.keeps_journal())
        self.daemon.environ = self.below.environ
        self.daemon.source = source()
        self.daemon.data.mkdir(mode=0o700)
        self.addCleanup(self.daemon.kill)
        self.daemon.start()
        self.random = Random(1)
        self.contents = Contents(1, layers=12, most=20_000)
        self.customer = self.new_customer(NAME)
        done(self.customer.push(self.fresh(), "first"))

    def config(self) -> str:
        """The configuration of the daemon."""
        return ""

    def keeps_journal(self) -> bool:
        """Whether all changes are noted down."""
        return False

    def new_customer(self, name: str) -> Customer:
        """Another one; more than one repository of a customer is a customer each."""
        return Customer(name, asking(self.daemon), self.contents, self.random)

    def fresh(self) -> Manifest:
        """An image that nobody has pushed."""
        return self.contents.manifest(self.random)

    def restart(self) -> None:
        """``kill -9``, and start."""
        self.daemon.kill()
        self.daemon.start()

    def check(self, when: str, *customers: Customer) -> None:
        """Everything that was acknowledged is there, and after a start nothing is left over."""
        for customer in customers or (self.customer,):
            try:
                done(customer.check())
            except Exception as problem:
                raise AssertionError(f"{when}: {problem!r}\n{self.daemon.log()[-3000:]}") from problem
        self.assertEqual([], outside.problems(self.daemon.data), when)

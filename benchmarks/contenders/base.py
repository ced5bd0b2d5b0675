"""What a contender has to tell, and what is the same for all of them."""

import enum
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import Factory, frozen

#: The name and the password that everybody uses where there are accounts.
ACCOUNT = "bench"
PASSWORD = "known-to-everybody"  # noqa: S105  # a secret of servers that live for seconds on 127.0.0.1


class Ability(enum.Enum):
    """What not every contender can do."""

    PUSH = "take pushes"
    LISTS = "list tags and repositories"
    PAGES = "give tags page by page"
    FILL = "be filled with 100,000 tags in seconds"
    TLS = "speak TLS"
    ACCOUNTS = "ask for a password"


@frozen
class Situation:
    """How a server is reached."""

    tls: bool = False
    accounts: bool = False

    @property
    def needs(self) -> frozenset[Ability]:
        """What a contender must be able to do for it."""
        return frozenset(
            ability for ability, wanted in ((Ability.TLS, self.tls), (Ability.ACCOUNTS, self.accounts)) if wanted
        )


@frozen
class Place:
    """Where one instance of a server lives."""

    folder: Path
    port: int
    situation: Situation
    certificate: Path
    key: Path

    @property
    def data(self) -> Path:
        """What the server stores; made by whoever uses it first."""
        return self.folder / "data"


@frozen
class Command:
    """What starts a server in the foreground. It finds itself in the folder of its place."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = Factory(dict)


class Contender(ABC):
    """A program that is compared."""

    #: As it is chosen, and as it stands in the tables.
    name: str
    #: Names of its program, as it is looked for.
    programs: Sequence[str] = ()
    abilities: frozenset[Ability] = frozenset()
    #: Whether its v1 door takes part; others do the same through v2.
    speaks_v1 = False

    def __init__(self, program: str | None = None) -> None:
        """:param program: the path of its program; by default it is looked for."""
        self._program = program

    @property
    def program(self) -> str:
        """The path of its program, empty when it is not there."""
        return self._program or found_program(self.programs)

    @property
    def takes_pushes(self) -> bool:
        """Whether what is pulled can be pushed before."""
        return Ability.PUSH in self.abilities

    def absence(self) -> str | None:
        """Why it can not take part, None when it can."""
        return None if self.program else f"no program {' or '.join(self.programs)}"

    @abstractmethod
    def version(self) -> str:
        """What exactly is measured."""

    @abstractmethod
    def prepare(self, place: Place) -> Command:
        """Write the configuration, and whatever must be there before the server starts for the first time."""

    def fill(self, place: Place, repository: str, tags: Sequence[str]) -> None:
        """
        Make the data that the server will find: a repository with these tags.

        Only for those with :attr:`Ability.FILL`, before :meth:`prepare`.
        """
        raise NotImplementedError(self.name)

    def place_blob(self, place: Place, repository: str, digest: str, content: bytes) -> None:
        """Make a blob available, for those that do not take pushes."""
        raise NotImplementedError(self.name)

    def place_manifest(self, place: Place, repository: str, references: Sequence[str], content: bytes) -> None:
        """Make a manifest available, for those that do not take pushes."""
        raise NotImplementedError(self.name)


def found_program(names: Sequence[str]) -> str:
    """The path of the first of these programs that is installed, or empty."""
    root = Path(__file__).resolve().parents[2]
    folders = [str(root / "build" / "go" / "bin"), str(Path.home() / "go" / "bin"), "/usr/sbin", "/sbin"]
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=":".join(folders))
        if found:
            return found
    return ""


def first_line(*command: str) -> str:
    """The first line that a program prints about itself."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else ""

"""How a command ends when it can not do what was asked: one sentence, exit status 1."""

from click import ClickException


class CommandFailed(ClickException):
    """What went wrong, as a sentence for the person at the terminal."""


class ConnectionBroken(CommandFailed):
    """The other side was not reached, or went away in the middle."""

    #: Trying again may help.
    passing = True


class Refused(CommandFailed):
    """The registry said no, with this HTTP status; ``passing`` when it may think better of it soon."""

    def __init__(self, message: str, status: int, *, passing: bool) -> None:
        super().__init__(message)
        self.status = status
        self.passing = passing

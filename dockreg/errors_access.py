"""What can go wrong with accounts, tokens and attempts to log in; the rest is in :mod:`dockreg.errors`."""

from attrs import frozen

from dockreg.errors import Busy, RegistryError


@frozen
class AccessTokenUnknown(RegistryError):
    """There is no such access token, or it is somebody else's."""

    token_id: str

    def __str__(self) -> str:
        return f"there is no access token {self.token_id}"


@frozen
class TooManyAttempts(Busy):
    """There were too many attempts that failed; the next one may be made after ``retry_after`` seconds."""

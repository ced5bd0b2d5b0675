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


@frozen
class InvitationInvalid(RegistryError):
    """The code is none, or its invitation was used, has expired, was revoked, or is for somebody else."""

    reason: str = "the invitation is not known, was used, or has expired; ask for another one"

    def __str__(self) -> str:
        return self.reason


@frozen
class InvitationUnknown(RegistryError):
    """There is no such invitation."""

    invitation_id: str

    def __str__(self) -> str:
        return f"there is no invitation {self.invitation_id}"

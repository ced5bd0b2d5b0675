"""What can go wrong, in the words of the registry. Statuses and codes belong to the doors."""

from attrs import frozen


class RegistryError(Exception):
    """Anything that a client or an operator can be told about in a sentence."""


def explained(problem: BaseException) -> str:
    """What happened and why, in one line, for an operator: the reason may name hosts and paths."""
    cause = problem.__cause__
    if cause is None:
        return str(problem)
    reason = str(getattr(cause, "orig", cause)).strip().partition("\n")[0]
    return f"{problem}: {reason}" if reason else str(problem)


# Names and documents that a client sent


@frozen
class NameInvalid(RegistryError):
    """A repository name outside the grammar."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name!r} is not a repository name: {self.reason}"


@frozen
class TagInvalid(RegistryError):
    """A tag outside the grammar."""

    tag: str

    def __str__(self) -> str:
        return (
            f"{self.tag!r} is not a tag: use 1 to 128 of A-Z, a-z, 0-9, '_', '.' and '-', not starting with '.' or '-'"
        )


@frozen
class DigestInvalid(RegistryError):
    """Text that is no digest, or bytes that have another one."""

    digest: str
    reason: str

    def __str__(self) -> str:
        return f"digest {self.digest}: {self.reason}"


@frozen
class RequestInvalid(RegistryError):
    """A document or parameter that cannot be used; the reason says what to change."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class RangeInvalid(RegistryError):
    """A position outside the blob, or an offset that is not the next one."""

    size: int

    def __str__(self) -> str:
        return f"the range lies outside the {self.size} bytes that are there"


@frozen
class BodyTooLarge(RegistryError):
    """A request body over the limit for its kind."""

    limit: int

    def __str__(self) -> str:
        return f"the request body is larger than {self.limit} bytes"


@frozen
class SizeInvalid(RegistryError):
    """A length that a client announced and did not keep, or announced twice and differently."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class LayerTooLarge(RegistryError):
    """A layer that unpacks to more, or holds more entries, than the configuration allows."""

    reason: str

    def __str__(self) -> str:
        return self.reason


# Things that are not there


@frozen
class NameUnknown(RegistryError):
    """There is no such repository, for this caller."""

    name: str

    def __str__(self) -> str:
        return f"repository {self.name} not found"


@frozen
class TagUnknown(RegistryError):
    """The repository has no such tag."""

    name: str
    tag: str

    def __str__(self) -> str:
        return f"tag {self.tag} not found in repository {self.name}"


@frozen
class BlobUnknown(RegistryError):
    """There is no such blob."""

    digest: str

    def __str__(self) -> str:
        return f"no blob {self.digest}"


@frozen
class UploadUnknown(RegistryError):
    """There is no such upload session: never started, ended or expired."""

    upload_id: str

    def __str__(self) -> str:
        return "there is no such upload session; start again"


@frozen
class UploadBusy(RegistryError):
    """Another request is writing to this upload session."""

    upload_id: str

    def __str__(self) -> str:
        return "another request is writing to this upload session; ask for its status when that has ended"


@frozen
class ManifestInvalid(RegistryError):
    """A manifest that can not be stored; the reason says what to change."""

    reason: str

    def __str__(self) -> str:
        return f"manifest: {self.reason}"


@frozen
class ManifestUnknown(RegistryError):
    """The repository has no such manifest."""

    name: str
    reference: str

    def __str__(self) -> str:
        return f"repository {self.name} has no manifest {self.reference}"


@frozen
class ReferencesUnknown(RegistryError):
    """A manifest refers to blobs or manifests that its repository does not have."""

    digests: tuple[str, ...]

    def __str__(self) -> str:
        return f"the repository does not have {', '.join(self.digests)}; push that first"


@frozen
class TagChanged(RegistryError):
    """A tag does not point to what the client expects, so it was not moved."""

    tag: str

    def __str__(self) -> str:
        return f"tag {self.tag} is not what the request expects it to be; look at it again"


@frozen
class BlobInUse(RegistryError):
    """A blob can not be deleted, for a manifest of its repository refers to it."""

    digest: str
    manifest: str

    def __str__(self) -> str:
        return f"blob {self.digest} is part of {self.manifest}; delete that first"


@frozen
class AccountUnknown(RegistryError):
    """There is no such account; ``deleted`` when there was one."""

    name: str
    deleted: bool = False

    def __str__(self) -> str:
        return f"there is no account {self.name}"


# v1 images


@frozen
class ImageUnknown(RegistryError):
    """There is no such v1 image, for this caller."""

    image_id: str

    def __str__(self) -> str:
        return "Image not found"


@frozen
class ImageIncomplete(RegistryError):
    """The v1 image is still being pushed."""

    image_id: str

    def __str__(self) -> str:
        return "Image is being uploaded, retry later"


@frozen
class ImageExists(RegistryError):
    """The v1 image is complete. Engines compare this very text (reference: all engines, ``PUT json``)."""

    image_id: str

    def __str__(self) -> str:
        return "Image already exists"


@frozen
class ImageConflict(RegistryError):
    """The v1 image is complete with other content than the caller pushed."""

    image_id: str

    def __str__(self) -> str:
        return f"image {self.image_id} exists with other content; it was not changed"


@frozen
class ImageJSONInvalid(RegistryError):
    """An image json that cannot be stored."""

    reason: str

    def __str__(self) -> str:
        return f"image json: {self.reason}"


@frozen
class LayerMissing(RegistryError):
    """A checksum came before the layer."""

    image_id: str

    def __str__(self) -> str:
        return f"the layer of image {self.image_id} was not received yet; send it before its checksum"


@frozen
class ChecksumMismatch(RegistryError):
    """The checksum is not that of the bytes received."""

    image_id: str

    def __str__(self) -> str:
        return f"checksum mismatch: image {self.image_id} was not stored; push it again"


# Who may do what


@frozen
class Unauthorized(RegistryError):
    """
    Credentials are missing where they are needed, wrong, or expired.

    ``fault`` is what is wrong with a token (RFC 6750 3.1): ``invalid_token`` or ``insufficient_scope``.
    """

    reason: str
    fault: str = ""

    def __str__(self) -> str:
        return self.reason


@frozen
class Denied(RegistryError):
    """The caller is known, and may not do this."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class AccountInactive(RegistryError):
    """The credentials are right, and the account is disabled."""

    name: str

    def __str__(self) -> str:
        return "Account is not Active"


@frozen
class AccountExists(RegistryError):
    """The user name or the e-mail address is taken. Engines compare this very text (all engines, login)."""

    name: str

    def __str__(self) -> str:
        return "Username or email already exists"


@frozen
class AccountInvalid(RegistryError):
    """A user name, password or e-mail address that cannot be accepted."""

    reason: str

    def __str__(self) -> str:
        return self.reason


# Trouble on our side


@frozen
class Busy(RegistryError):
    """More asked at once than is allowed; come back after ``retry_after`` seconds."""

    reason: str
    retry_after: int

    def __str__(self) -> str:
        return self.reason


@frozen
class StorageFull(RegistryError):
    """No room for more bytes. What was acknowledged is not touched, and an upload session keeps what it has."""

    reason: str = (
        "the registry has no room left on its disk; what it has is whole, and can be pulled. Push again when its operator "
        "has made room: an upload session goes on from there"
    )

    def __str__(self) -> str:
        return self.reason


@frozen
class StoreUnavailable(RegistryError):
    """The metadata store or the blob store does not answer."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class IndexUnavailable(RegistryError):
    """The index that checks tokens does not answer."""

    reason: str

    def __str__(self) -> str:
        return self.reason

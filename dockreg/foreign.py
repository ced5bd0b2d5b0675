"""What somebody else provides: whether it has all that it should, said in a sentence for who wrote it."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from zope.interface import Invalid
from zope.interface.exceptions import BrokenImplementation, BrokenMethodImplementation
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject

from dockreg.config import ConfigError
from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.interfaces import IBlobIndex, IBlobStore, IManifestStore, IRepositoryStore
from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.interfaces_blobs import IConditionStore, IReferenceStore, IUpload
from dockreg.interfaces_collection import ICollection, ILeaseStore
from dockreg.interfaces_people import IAccessTokenStore, IAttemptStore, IInvitationStore
from dockreg.interfaces_quotas import IQuotaStore
from dockreg.interfaces_retention import IRetentionStore
from dockreg.interfaces_rights import IRightsStore
from dockreg.interfaces_uploads import IUploadStore
from dockreg.interfaces_v1 import IV1ImageStore
from dockreg.model.blobs import StoredBlob
from dockreg.providers.blobs.small import DividedBlobStore

#: What the attributes of an :class:`.IMetadataStore` provide.
METADATA_PARTS: Mapping[str, InterfaceClass] = {
    "blobs": IBlobIndex,
    "conditions": IConditionStore,
    "references": IReferenceStore,
    "repositories": IRepositoryStore,
    "manifests": IManifestStore,
    "uploads": IUploadStore,
    "images": IV1ImageStore,
    "accounts": IAccountStore,
    "keys": IKeyStore,
    "access_tokens": IAccessTokenStore,
    "rights": IRightsStore,
    "invitations": IInvitationStore,
    "attempts": IAttemptStore,
    "retention": IRetentionStore,
    "leases": ILeaseStore,
    "collection": ICollection,
    "quotas": IQuotaStore,
}
#: More are counted only.
_MOST_TOLD = 3
_ROLE = re.compile(r":\w+:`~?[\w.]*?(\w+)`")
_FIELD = re.compile(r"(?m)^:\w+")


def require(
    key: str,
    name: str,
    interface: InterfaceClass,
    provider: object,
    parts: Mapping[str, InterfaceClass] | None = None,
    *,
    declared: bool = True,
) -> None:
    """
    Refuse a provider that lacks something.

    :param key: the setting, or the argument, that says which one it is.
    :param name: what is said there.
    :param parts: attributes, and what they should provide.
    :param declared: whether it has to say that it provides ``interface``; of parts that is not asked.
    :raises ConfigError: it lacks something, and what that is and what it is for.
    """
    lacks = _lacks(interface, provider, declared=declared)
    for part, kind in (parts or {}).items():
        if hasattr(provider, part):
            lacks += _lacks(kind, getattr(provider, part), f"{part}.", declared=False)
    if lacks:
        more = len(lacks) - _MOST_TOLD
        told = [*lacks[:_MOST_TOLD], *([f"{more} more"] if more > 0 else [])]
        raise ConfigError("", key, f"{name} does not provide what it should: {', and '.join(told)}")


def _lacks(interface: InterfaceClass, provider: object, where: str = "", *, declared: bool) -> list[str]:
    try:
        verifyObject(interface, provider, tentative=not declared)
    except Invalid as error:
        # Several of them come as one.
        return [_told(each, interface, where) for each in getattr(error, "exceptions", [error])]
    return []


def _told(error: Invalid, interface: Any, where: str) -> str:
    if isinstance(error, BrokenImplementation):
        return f"{where}{_signature(error.name)} is missing ({_purpose(error.name, interface)})"
    if isinstance(error, BrokenMethodImplementation):
        method, problem = error.method, error.mess.replace("implementation", "it")
        return f"{where}{_signature(method)} can not be called so, for {problem} ({_purpose(method, interface)})"
    return f"it does not say that it is an {interface.__name__}"


def _signature(member: Any) -> str:
    """How a method is called, or the name of another attribute."""
    arguments = getattr(member, "getSignatureString", str)()
    return f"{member.getName()}{arguments}"


def _purpose(member: Any, interface: Any) -> str:
    """The first sentence that the interface says of a member, else of itself."""
    for each in (member, interface):
        text = _FIELD.split(inspect.cleandoc(each.getDoc()))[0].strip()
        if text:
            break
    sentence = re.split(r"\.\s", f"{text} ")[0]
    return _ROLE.sub(r"\1", " ".join(sentence.split())).replace("``", "")


class ForeignBlobStore(DividedBlobStore):
    """
    A blob store of somebody else, beside the small objects that are kept in the metadata.

    What its uploads are is seen when one begins: that is done at the start, and not when the first client pushes.

    :param name: what the configuration calls it.
    """

    def __init__(
        self, store: IBlobStore, content: Callable[[StoredBlob], Awaitable[bytes | None]], key: str, name: str
    ) -> None:
        super().__init__(store, content)
        self._key, self._name = key, name

    async def recover(
        self, is_recorded: Callable[[StoredBlob], Awaitable[bool]], is_resumable: Callable[[str], Awaitable[bool]]
    ) -> int:
        """See :class:`~dockreg.interfaces.IBlobStore`. :raises ConfigError: its uploads lack something."""
        # One that has no room, or does not work now, may still serve what it has.
        with suppress(StorageFull, StoreUnavailable):
            upload = await self._store.start_upload()
            try:
                require(self._key, self._name, IUpload, upload, declared=False)
            finally:
                # That may be what it lacks.
                if hasattr(upload, "abort"):
                    await upload.abort()
        return await self._store.recover(is_recorded, is_resumable)

"""What providers promise to who goes through all that there is. :mod:`dockreg.interfaces` says what holds for every method."""

from collections.abc import Sequence

from zope.interface import Interface

from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName


class IManifestList(Interface):
    """The manifests of repositories, whether tags point to them or not."""

    async def pushed(name: RepositoryName, after: str, limit: int) -> Sequence[Digest]:
        """
        At most ``limit`` manifests that were pushed, rather than made by the registry, and whose digest comes after the text
        ``after``, in the order of their digests.

        :raises NameUnknown: there is no such repository.
        """

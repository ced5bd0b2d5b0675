"""Help for authorizers that are written for a site, or for a test."""

from collections.abc import Sequence

from dockreg.model.access import Access, Action, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import RepositoryRecord


class OneByOne:
    """The part of an :class:`.IAuthorizer` that lists need, for one that decides about each repository by itself."""

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """See :meth:`.IAuthorizer.granted`."""
        raise NotImplementedError

    async def granted_each(
        self, principal: Principal, action: Action, names: Sequence[RepositoryName]
    ) -> Sequence[RepositoryName]:
        """See :meth:`.IAuthorizer.granted_each`."""
        return [name for name in names if await self.granted(principal, Access(name, frozenset({action})))]

    async def granted_among(
        self, principal: Principal, action: Action, records: Sequence[RepositoryRecord]
    ) -> Sequence[RepositoryRecord]:
        """See :meth:`.IAuthorizer.granted_among`."""
        allowed = frozenset(await self.granted_each(principal, action, [record.name for record in records]))
        return [record for record in records if record.name in allowed]

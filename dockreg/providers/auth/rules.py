"""
Who may do what.

What everybody may do, without saying who they are, is a setting:

=============  ===============================  ======================================================
``anonymous``  in a repository                  in a repository without an owner, in addition
=============  ===============================  ======================================================
``push``       pull, push, overwrite, delete    admin
``pull``       pull                             nothing
``none``       nothing                          nothing
=============  ===============================  ======================================================

Who has a name may, in addition to what everybody may:

==================================================  =========================================
repository                                          actions
==================================================  =========================================
owned by the name, or in the namespace of the name  pull, push, overwrite, delete, admin
another one, not private                            pull, push, overwrite, delete
the same, where strangers can register              pull, if somebody with a name owns it
another one, private                                nothing
==================================================  =========================================

- A private repository is closed to everybody, with one exception: one without an owner stays open where everybody may
  push, for nobody else could ever use it.
- ``library`` is nobody's namespace: it is where names without a namespace are (all engines).
- A repository that is not there is judged as if its first pusher owned it.
- On the registry as a whole there is pull (search, lists) for who may pull at all, push (images that are not
  announced to a repository) for who may push at all, and admin.
- An administrator may do everything.
- A token is a ceiling. Where it reaches its bearer may do what the token says and the rules still allow; in every
  other repository nothing, whatever its bearer may do without it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from attrs import define, field
from zope.interface import implementer

from dockreg.errors import NameUnknown
from dockreg.interfaces import IRepositoryStore
from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import EVERYTHING, NOTHING, Access, Action, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import RepositoryRecord

MAY_PUSH: frozenset[Action] = frozenset({Action.PULL, Action.PUSH, Action.OVERWRITE, Action.DELETE})

#: What concerns no certain repository.
ON_REGISTRY: frozenset[Action] = frozenset({Action.PULL, Action.PUSH})

#: The values of the setting ``auth.anonymous``.
ANONYMOUS_ACTIONS: Mapping[str, frozenset[Action]] = MappingProxyType(
    {"push": MAY_PUSH, "pull": frozenset({Action.PULL}), "none": NOTHING}
)

_NO_NAMESPACE = "library"


@implementer(IAuthorizer)
@define(eq=False)
class Rules:
    """
    The rules above, with one point read for each question about a repository.

    :param anonymous: what everybody may do, one of :data:`ANONYMOUS_ACTIONS`.
    :param authenticated: what a name adds to that, :data:`MAY_PUSH` unless said otherwise.
    :param strangers: whether anybody can make himself an account, so that to have a name says little.
    """

    _repositories: IRepositoryStore
    _anonymous: frozenset[Action]
    _authenticated: frozenset[Action] = MAY_PUSH
    _strangers: bool = field(default=False, kw_only=True)

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """See :meth:`.IAuthorizer.granted`."""
        name = wanted.repository
        reached = wanted.actions & principal.within(name)
        if not reached:
            return NOTHING
        if name is None:
            return reached & self._on_registry(principal)
        record = await self._find(name)
        return reached & (self._of_everybody(record) | self._own(principal, name, record))

    async def _find(self, name: RepositoryName) -> RepositoryRecord | None:
        try:
            return await self._repositories.get(name)
        except NameUnknown:
            return None

    def _on_registry(self, principal: Principal) -> frozenset[Action]:
        if principal.admin:
            return EVERYTHING
        allowed = self._anonymous if principal.name is None else self._anonymous | self._authenticated
        return allowed & ON_REGISTRY

    def _of_everybody(self, record: RepositoryRecord | None) -> frozenset[Action]:
        ownerless = record is None or record.owner is None
        open_to_push = Action.PUSH in self._anonymous
        if record is not None and record.private and not (ownerless and open_to_push):
            return NOTHING
        return self._anonymous | {Action.ADMIN} if ownerless and open_to_push else self._anonymous

    def _own(self, principal: Principal, name: RepositoryName, record: RepositoryRecord | None) -> frozenset[Action]:
        if principal.name is None:
            return NOTHING
        if principal.admin:
            return EVERYTHING
        if self._belongs_to(principal.name, name, record):
            return self._authenticated | {Action.ADMIN}
        if record is not None and record.private:
            return NOTHING
        if self._strangers and record is not None and record.owner is not None:
            return self._authenticated & {Action.PULL}
        return self._authenticated

    def _belongs_to(self, principal_name: str, name: RepositoryName, record: RepositoryRecord | None) -> bool:
        if name.namespace == principal_name != _NO_NAMESPACE:
            return True
        if record is None:
            return Action.PUSH in self._authenticated
        return record.owner == principal_name

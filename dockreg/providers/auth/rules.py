"""
Who may do what.

What everybody may do, without saying who they are, is a setting:

=============  ===============================  ==========================================================
``anonymous``  in a repository                  in one without an owner, or that is not there, in addition
=============  ===============================  ==========================================================
``push``       pull, push, overwrite, delete    admin
``pull``       pull                             nothing
``none``       nothing                          nothing
=============  ===============================  ==========================================================

Beside that, a place belongs to somebody:

- A namespace of which there is a record belongs to its members: owners may do everything in it, writers all but
  administer, readers pull. Nobody else may do more there than pull what is not private, and only as far as the setting
  for everybody, or having a name, goes.
- A namespace without a record belongs to the account of its name, but for repositories that are older than the account.
  ``library`` is nobody's: it is where names without a namespace are (all engines).
- Elsewhere a repository belongs to who made it. One that is not there is judged as if its first pusher owned it.

Who has a name, and is no robot, may, in addition to what everybody may:

====================================================  =======================================
repository                                            actions
====================================================  =======================================
one's own, or in the namespace of one's own name      pull, push, overwrite, delete, admin
in the namespace of others, not private               pull
in the namespace of others, private or not there      nothing
another one, not private                              pull, push, overwrite, delete
the same, where strangers can register                pull, if somebody with a name owns it
another one, private                                  nothing
====================================================  =======================================

- Grants and the rules of the configuration allow more, to accounts, groups, all who have a name, or everybody, in the
  repositories that their patterns match, private ones and those that are not there too. A robot has only that, its
  roles in namespaces, and what everybody has.
- What a rule of the configuration denies wins over whatever allows it. Denied to ``anonymous`` is denied to who has no
  name only, while what is allowed to ``anonymous`` is allowed to all.
- A private repository is closed to everybody, with one exception: one without an owner stays open where everybody may
  push, for nobody else could ever use it.
- On the registry as a whole there is pull (search, lists), push (images that are not announced to a repository), and
  admin. Pull is for who may pull anywhere; push for who has a name, for robots that may push anywhere, and for all where
  everybody may push.
- An administrator may do everything.
- A token is a ceiling. Where it reaches its bearer may do what the token says and the rules still allow; in every
  other repository nothing, whatever its bearer may do without it.

What is not there looks, to who has a name and could not make it, like what is private. Who has no name is told that it is
not there where he could read it if it was, that is, where new repositories are public; else it looks private, too.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from attrs import define, field
from zope.interface import implementer

from dockreg.interfaces_access import IStoredRights
from dockreg.interfaces_rights import IRightsStore
from dockreg.model.access import NOTHING, Access, Action, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.rights import MAY_PUSH
from dockreg.providers.auth.judging import Policy, explicit_anywhere, is_plain, judge, subjects_of

#: Judgements that are kept, and groups of those who were judged.
_MOST_KNOWN = 16384
#: What concerns no certain repository.
ON_REGISTRY: frozenset[Action] = frozenset({Action.PULL, Action.PUSH})

#: The values of the setting ``auth.anonymous``.
ANONYMOUS_ACTIONS: Mapping[str, frozenset[Action]] = MappingProxyType(
    {"push": MAY_PUSH, "pull": frozenset({Action.PULL}), "none": NOTHING}
)


@implementer(IStoredRights)
@define(eq=False)
class Rules:
    """
    The rules above. Each question about repositories is one look at what is stored, or at whether that has changed.

    :param version: tells for how long nothing has changed of what is stored, as :meth:`.IMoments.lasting_version` does.
    """

    _rights: IRightsStore
    _policy: Policy
    _version: Callable[[], object | None] = lambda: None
    # What was found for a name and the groups that were told with it, in a repository, while this was the version.
    _known: dict[tuple[str | None, str], tuple[frozenset[str], frozenset[Action]]] = field(factory=dict, init=False)
    _known_of: object | None = field(default=None, init=False)
    _weight: int = field(default=0, init=False)

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """See :meth:`.IAuthorizer.granted`."""
        name = wanted.repository
        reached = wanted.actions if principal.ceiling is None else wanted.actions & principal.within(name)
        if not reached or principal.admin:
            return reached
        if name is None:
            return reached & await self._on_registry(principal, reached)
        version = self._version()
        if version is not None and version is self._known_of:
            known = self._known.get((principal.name, name.value))
            if known is not None and known[0] == principal.groups:
                return reached & known[1]
        standing = await self._rights.find(subjects_of(principal), name)
        allowed = judge(self._policy, principal, standing, name)
        if version is not None:
            self._keep(version, principal, name, allowed)
        return reached & allowed

    async def granted_each(
        self, principal: Principal, action: Action, names: Sequence[RepositoryName]
    ) -> Sequence[RepositoryName]:
        """See :meth:`.IAuthorizer.granted_each`."""
        reached = [name for name in names if action in principal.within(name)]
        # Asked for no name, too: whether there were any is not to be told by the time that this takes.
        standing = await self._rights.find_each(subjects_of(principal), reached)
        return [
            name
            for name in reached
            if name in standing.repositories
            and (principal.admin or action in judge(self._policy, principal, standing, name))
        ]

    async def granted_among(
        self, principal: Principal, action: Action, records: Sequence[RepositoryRecord]
    ) -> Sequence[RepositoryRecord]:
        """See :meth:`.IAuthorizer.granted_among`; nothing is looked up for what may be read anyway."""
        reached = [record for record in records if action in principal.within(record.name)]
        if principal.admin:
            return reached
        unclear = [record.name for record in reached if not is_plain(self._policy, principal, action, record)]
        if not unclear:
            return reached
        standing = await self._rights.find_each(subjects_of(principal), unclear)
        refused = {name for name in unclear if action not in judge(self._policy, principal, standing, name)}
        return [record for record in reached if record.name not in refused]

    def _keep(self, version: object, principal: Principal, name: RepositoryName, allowed: frozenset[Action]) -> None:
        """Remember what a principal may do, by what was looked up when this was the version or later."""
        if version is not self._known_of or self._weight >= _MOST_KNOWN:
            self._known.clear()
            self._known_of, self._weight = version, 0
        self._known[principal.name, name.value] = (principal.groups, allowed)
        self._weight += 1 + len(principal.groups)

    async def _on_registry(self, principal: Principal, wanted: frozenset[Action]) -> frozenset[Action]:
        """What somebody may do at all, looked up only where it is not plain."""
        is_somebody = principal.name is not None
        plain = ON_REGISTRY if is_somebody and not principal.is_robot else self._policy.anonymous & ON_REGISTRY
        # Where some may push somewhere without a name, the others are to be asked for theirs all the same.
        possible = ON_REGISTRY if is_somebody else frozenset({Action.PULL})
        if not (wanted - plain) & possible:
            return plain
        standing = await self._rights.find_all(subjects_of(principal))
        return plain | (explicit_anywhere(self._policy, standing) & possible)

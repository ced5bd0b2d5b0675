"""What somebody may do in a repository, once all that matters is known: no I/O, see :mod:`dockreg.providers.auth.rules`."""

from collections.abc import Iterator

from attrs import field, frozen

from dockreg.model.access import EVERYTHING, NOTHING, Action, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.rights import ANYBODY, AUTHENTICATED, MAY_PUSH, Rule, Standing, Subject

_PULL = frozenset({Action.PULL})
_ADMIN = frozenset({Action.ADMIN})
_NOBODY = frozenset({ANYBODY})
_NO_NAMESPACE = "library"


@frozen
class Policy:
    """
    What the configuration says of who may do what.

    :param anonymous: what everybody may do.
    :param strangers: whether anybody can make himself an account, so that to have a name says little.
    :param private: whether new repositories are private where their namespace does not say.
    """

    anonymous: frozenset[Action] = NOTHING
    strangers: bool = field(default=False, kw_only=True)
    private: bool = field(default=False, kw_only=True)
    rules: tuple[Rule, ...] = field(default=(), kw_only=True)


def subjects_of(principal: Principal) -> frozenset[Subject]:
    """What somebody is, before it is known which stored groups he is in."""
    if principal.name is None:
        return _NOBODY
    groups = map(Subject.group, principal.groups)
    named = () if principal.is_robot else (AUTHENTICATED,)
    return frozenset({ANYBODY, Subject.account(principal.name), *named, *groups})


def judge(policy: Policy, principal: Principal, standing: Standing, name: RepositoryName) -> frozenset[Action]:
    """What a principal who is no administrator may do in a repository."""
    place = _Place(policy, principal, standing, name)
    return (place.of_everybody() | place.explicit() | place.as_one_with_a_name()) - place.denied()


def is_plain(policy: Policy, principal: Principal, action: Action, record: RepositoryRecord) -> bool:
    """Whether it is clear without a look at namespaces, groups and grants that an action is allowed in a repository."""
    if action is not Action.PULL or record.private or any(rule.deny for rule in policy.rules):
        return False
    return Action.PULL in policy.anonymous or not (principal.name is None or principal.is_robot)


def explicit_anywhere(policy: Policy, standing: Standing) -> frozenset[Action]:
    """What somebody may do in some repository or other by grants, rules and roles."""
    granted = NOTHING.union(*(grant.actions for grant in standing.grants))
    allowed = NOTHING.union(*(rule.allow for rule in policy.rules if rule.who & standing.subjects))
    return granted | allowed | NOTHING.union(*(role.actions for roles in standing.roles.values() for role in roles))


@frozen
class _Place:
    """One principal in one repository."""

    policy: Policy
    principal: Principal
    standing: Standing
    name: RepositoryName

    @property
    def record(self) -> RepositoryRecord | None:
        """The repository, if it is there."""
        return self.standing.repositories.get(self.name)

    @property
    def is_recorded(self) -> bool:
        """Whether there is a record of the namespace."""
        return self.name.namespace in self.standing.namespaces

    @property
    def account(self) -> str | None:
        """
        The account that the place belongs to: that of the namespace's name, where nothing else is recorded.

        What was there before the account was is not its own: strangers choose their names.
        """
        namespace = self.name.namespace
        if self.is_recorded or namespace == _NO_NAMESPACE:
            return None
        since = self.standing.accounts.get(namespace)
        if since is None:
            # Somebody that the registry has no account of may be known elsewhere; he is when he is here.
            return namespace if namespace == self.principal.name else None
        return namespace if self.record is None or since <= self.record.created_at else None

    def of_everybody(self) -> frozenset[Action]:
        """What is allowed to who does not say who he is, as far as the repository itself goes."""
        floor, record = self.policy.anonymous, self.record
        is_open = Action.PUSH in floor
        if record is None:
            return floor | _ADMIN if is_open and not self.is_recorded else floor & self.of_new()
        if self.is_recorded:
            return NOTHING if record.private else floor & _PULL
        without_owner = record.owner is None
        if record.private and not (without_owner and is_open):
            return NOTHING
        return floor | _ADMIN if without_owner and is_open else floor

    def of_new(self) -> frozenset[Action]:
        """
        What who has no name could do in a repository that was made here by somebody else.

        Others could, too, and are told that there is none in any case: as of a private one, whatever they ask for.
        """
        private = self.standing.namespaces.get(self.name.namespace)
        is_private = self.policy.private if private is None else private
        return NOTHING if is_private or self.principal.name is not None else _PULL

    def explicit(self) -> frozenset[Action]:
        """What is allowed by roles in the namespace, by grants, and by the rules of the configuration."""
        mine = self.standing.subjects
        roles = self.standing.roles.get(self.name.namespace, frozenset())
        granted = (grant.actions for grant in self.standing.grants if grant.repositories.matches(self.name))
        allowed = (rule.allow for rule in self.policy.rules if rule.who & mine and rule.covers(self.name))
        return NOTHING.union(*(role.actions for role in roles), *granted, *allowed)

    def as_one_with_a_name(self) -> frozenset[Action]:
        """What a name adds, as far as the repository itself goes; nothing to robots."""
        who, record, account = self.principal.name, self.record, self.account
        if who is None or self.principal.is_robot:
            return NOTHING
        if account == who:
            return EVERYTHING
        if self.is_recorded or account is not None:
            return _PULL if record is not None and not record.private else NOTHING
        if record is None or record.owner == who:
            return EVERYTHING
        if record.private:
            return NOTHING
        return _PULL if self.policy.strangers and record.owner is not None else MAY_PUSH

    def denied(self) -> frozenset[Action]:
        """What the rules of the configuration deny, whatever allows it."""
        return NOTHING.union(*(rule.deny for rule in self._denying() if rule.covers(self.name)))

    def _denying(self) -> Iterator[Rule]:
        # To deny something to who has no name denies nothing to others, and robots have names.
        mine = self.standing.subjects
        mine = mine if self.principal.name is None else (mine | {AUTHENTICATED}) - {ANYBODY}
        return (rule for rule in self.policy.rules if rule.deny and rule.who & mine)

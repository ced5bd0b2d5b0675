"""
From the configuration to what the rules about people call these settings.

Apart from :mod:`dockreg.configured`, for commands about people: they start without what serves.
"""

import attrs

from dockreg.attempts import AttemptLimits
from dockreg.config import Config
from dockreg.configvalues import parse_rule
from dockreg.providers.auth.judging import Policy
from dockreg.providers.auth.rules import ANONYMOUS_ACTIONS


def attempt_limits(config: Config) -> AttemptLimits:
    """``[auth.attempts]``."""
    return AttemptLimits(**attrs.asdict(config.auth.attempts))


def policy_of(config: Config, *, strangers: bool) -> Policy:
    """
    What of ``[auth]`` says who may do what.

    :param strangers: whether anybody can make himself an account.
    """
    rules = tuple(map(parse_rule, config.auth.rules))
    private = config.auth.new_repositories == "private"
    return Policy(ANONYMOUS_ACTIONS[config.auth.anonymous], strangers=strangers, private=private, rules=rules)

"""Every scenario with every engine over http, and with the oldest and the newest one over https."""

from dockreg.testing.engines import ENGINES
from tests.integration import engine_logins, engine_pulls, engine_pushes

_SCENARIOS = (engine_logins.Logins, engine_logins.Searches, engine_pushes.Pushes, engine_pulls.Pulls)
#: Which engine asks makes no difference in these.
_ONCE = (engine_logins.Doors, engine_pulls.Tokens)


def _add_tests() -> None:
    for tls in (False, True):
        for profile in (ENGINES[0], ENGINES[-1]) if tls else ENGINES:
            for scenario in (*_SCENARIOS, *(_ONCE if profile is ENGINES[-1] else ())):
                digits = profile.version.replace(".", "")
                name = f"Engine{digits}{'Https' if tls else 'Http'}{scenario.__name__}Tests"
                members = {"__module__": __name__, "__qualname__": name, "profile": profile, "tls": tls}
                globals()[name] = type(name, (scenario,), {"__doc__": scenario.__doc__, **members})


_add_tests()

"""How many requests a client may send: so many at once, and so many a second from then on."""

from collections import OrderedDict

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dockreg.model.networks import NO_ADDRESS

log = Logger()

#: Whose requests are remembered. Who is forgotten for others may begin anew.
_MOST_CLIENTS = 16_384
#: A flood must not fill the log as well.
_QUIET_SECONDS = 60.0


@define(eq=False)
class RateLimit:
    """
    A bucket of tokens for each client, kept as one number: the time at which it will be full again (GCRA).

    :param per_second: requests a second that go on forever.
    :param burst: requests at once.
    """

    per_second: float
    burst: int
    clock: IReactorTime
    most_clients: int = _MOST_CLIENTS
    _full_at: OrderedDict[str, float] = field(factory=OrderedDict, init=False)
    _told_at: float | None = field(default=None, init=False)

    def take(self, client: str) -> float:
        """
        Count a request, and return 0; or count nothing, and return the seconds after which one would be counted.

        :param client: its address, or :data:`~dockreg.model.networks.NO_ADDRESS` for one without limit.
        """
        if client == NO_ADDRESS:
            return 0.0
        now = self.clock.seconds()
        full_at = max(self._full_at.get(client, now), now) + 1 / self.per_second
        wait = full_at - now - self.burst / self.per_second
        if wait > 1e-9:
            self._tell(client, now)
            return wait
        self._full_at[client] = full_at
        self._full_at.move_to_end(client)
        if len(self._full_at) > self.most_clients:
            self._full_at.popitem(last=False)
        return 0.0

    def _tell(self, client: str, now: float) -> None:
        if self._told_at is None or now - self._told_at >= _QUIET_SECONDS:
            self._told_at = now
            log.warn("{client} sends more than {rate:g} requests a second", client=client, rate=self.per_second)

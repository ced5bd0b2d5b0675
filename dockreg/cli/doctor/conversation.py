"""Questions to a registry whose answers go into a report."""

from collections.abc import Mapping
from typing import Any

from attrs import define

from dockreg.cli.doctor.findings import Report, Step, fail
from dockreg.cli.doctor.place import Place, shown_url
from dockreg.cli.failures import CommandFailed
from dockreg.cli.transport import Reply, Transport
from dockreg.cli.v1session import Credentials

#: A client waits longer; who diagnoses wants to know.
ANSWER_SECONDS = 15.0


@define(eq=False)
class Conversation:
    """
    What all questions share.

    :param credentials: whose login is replayed, None for somebody without one.
    """

    reactor: Any
    transport: Transport
    place: Place
    credentials: Credentials | None
    report: Report

    def now(self) -> float:
        """Seconds since 1970, by the clock here."""
        return float(self.reactor.seconds())

    def url(self, path: str) -> str:
        """A path of the registry."""
        return f"{self.place.origin}{path}"

    async def ask(
        self, step: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply | None:
        """The answer; None when there was none, which the report tells then."""
        try:
            return await self.transport.request(method, url, headers, body)
        except CommandFailed as broken:
            sentence = "No answer: see that what serves there speaks http, and what its log, or that of a proxy, says."
            self.report.add(Step(step, f"{method} {shown_url(url)}", broken.message, (fail(sentence),)))
            return None

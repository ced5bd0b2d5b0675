"""The first steps of a pull and of a push."""

from collections.abc import Mapping

from attrs import define

from dockreg.cli.doctor import contents
from dockreg.cli.doctor.conversation import Conversation
from dockreg.cli.doctor.findings import Step, Verdict, note
from dockreg.cli.doctor.logins import Login
from dockreg.cli.transport import Reply

#: More than nginx takes until it is told otherwise (1 MiB).
CHUNK_BYTES = 2 * 1024 * 1024
#: An index, and an image of it.
_MANIFESTS = 2
Headers = Mapping[str, str]


@define(eq=False)
class Transfer:
    """
    A pull from, and the beginning of a push to, one repository.

    :param tag: what to pull; None for ``latest``, or another tag where there is no such.
    :param pushing: whether the person wants to push.
    """

    conversation: Conversation
    login: Login
    repository: str
    tag: str | None = None
    pushing: bool = False

    async def pull(self) -> None:
        """Tags, a manifest, a blob."""
        headers = await self.login.headers_for(self.repository, "pull")
        if headers is None:
            return
        reference = await self._reference(headers)
        for _ in range(_MANIFESTS):
            found = await self._manifest(headers, reference) if reference else None
            if found is None:
                return
            reference = found.digest
            if not found.is_manifest:
                await self._blob(headers, found.digest)
                return

    async def push(self) -> None:
        """Ask for the right to push; if that is wanted, begin an upload as well, send a chunk, and cancel it."""
        really = self.pushing
        if not really and not self.login.by_token:
            return
        headers = await self.login.headers_for(self.repository, "pull", "push", needed=really)
        if headers is None or not really:
            return
        report, place = self.conversation.report, self.conversation.place
        reply = await self._ask("upload", "POST", f"/v2/{self.repository}/blobs/uploads/", headers, b"")
        if reply is None:
            return
        step, target = contents.judge_start(reply, place, self.repository)
        report.add(step)
        if target is None:
            return
        # Whatever host it names: credentials go nowhere else, and what was begun has to end.
        await self._chunk(headers, contents.at_home(target, place))

    async def _chunk(self, headers: Headers, target: str) -> None:
        report, place = self.conversation.report, self.conversation.place
        sent = {**headers, "Content-Type": "application/octet-stream"}
        reply = await self.conversation.ask("chunk", "PATCH", target, sent, bytes(CHUNK_BYTES))
        if reply is not None:
            report.add(contents.judge_chunk(reply, place, CHUNK_BYTES))
            target = contents.moved(reply, target, place)
        reply = await self.conversation.ask("cancel", "DELETE", target, headers)
        if reply is not None:
            report.add(contents.judge_cancel(reply, place))

    async def _reference(self, headers: Headers) -> str | None:
        conversation = self.conversation
        reply = await self._ask("tags", "GET", f"/v2/{self.repository}/tags/list", headers)
        if reply is None:
            return None
        step, tags = contents.judge_tags(reply, conversation.place, self.repository, pushing=self.pushing)
        shown = conversation.report.add(step)
        if self.tag is not None:
            return self.tag
        if not tags and shown.verdict is not Verdict.FAIL:
            remark = note("There is no tag to pull.")
            conversation.report.add(Step("manifest", "a manifest", "not asked", (remark,)))
        return "latest" if "latest" in tags else next(iter(tags), None)

    async def _manifest(self, headers: Headers, reference: str) -> contents.Found | None:
        path = f"/v2/{self.repository}/manifests/{reference}"
        accepting = {**headers, "Accept": contents.ACCEPT}
        reply = await self._ask("manifest", "GET", path, accepting)
        head = await self._ask("manifest", "HEAD", path, accepting) if reply is not None else None
        if reply is None or head is None:
            return None
        step, found = contents.judge_manifest(reply, head, self.conversation.place, self.repository)
        self.conversation.report.add(step)
        return found

    async def _blob(self, headers: Headers, digest: str) -> None:
        reply = await self._ask("blob", "HEAD", f"/v2/{self.repository}/blobs/{digest}", headers)
        if reply is not None:
            self.conversation.report.add(contents.judge_blob(reply, self.conversation.place, self.repository))

    async def _ask(
        self, step: str, method: str, path: str, headers: Headers, body: bytes | None = None
    ) -> Reply | None:
        return await self.conversation.ask(step, method, self.conversation.url(path), headers, body)

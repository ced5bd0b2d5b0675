"""How clients log in to a registry that speaks v2: at its token service, or with Basic."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from attrs import define

from dockreg.cli.doctor.challenges import Challenge, may_have_password
from dockreg.cli.doctor.conversation import Conversation
from dockreg.cli.doctor.findings import Step, Verdict, fail, note
from dockreg.cli.doctor.tokens import Asked, Token, judge_form, judge_grant, judge_token, judge_use, secrets_in

_CLIENT = "dockreg-doctor"
Headers = Mapping[str, str]


@define(eq=False)
class Login:
    """
    One way to log in, as the registry wants it.

    :param challenge: what the registry offers; None when it offers nothing, or nothing that clients know.
    """

    conversation: Conversation
    challenge: Challenge | None

    @property
    def by_token(self) -> bool:
        """Whether there is a token service."""
        return self.challenge is not None and self.challenge.scheme == "bearer" and "://" in self.challenge.realm

    async def run(self, repository: str | None) -> bool:
        """
        ``docker login``, and what somebody without an account gets.

        :return: whether it makes sense to go on.
        """
        if self.by_token:
            return await self._at_token_service(repository)
        credentials = self.conversation.credentials
        if credentials is None:
            if self.challenge is not None:
                remark = note("Give a name with --user to replay its login.")
                self.conversation.report.add(Step("login", "Basic credentials", "not asked", (remark,)))
            return True
        return await self._use({"Authorization": credentials.basic}, f"Basic credentials of {credentials.name}")

    async def headers_for(self, repository: str, *actions: str, needed: bool = True) -> Headers | None:
        """
        What to send for these actions in a repository; None when it could not be had, which the report tells.

        :param needed: whether it is a fault when the last of the actions is not granted.
        """
        credentials = self.conversation.credentials
        if not self.by_token:
            return {} if credentials is None else {"Authorization": credentials.basic}
        scope = f"repository:{repository}:{','.join(actions)}"
        asked = Asked("GET a token", credentials.name if credentials else None, [scope])
        step, token = await self._token(f"token to {actions[-1]}", asked)
        if step is not None:
            self.conversation.report.add(judge_grant(step, token, actions[-1], needed=needed))
        return None if token is None else {"Authorization": f"Bearer {token.value}"}

    async def _at_token_service(self, repository: str | None) -> bool:
        conversation = self.conversation
        assert self.challenge is not None
        scopes = [] if repository is None else [f"repository:{repository}:pull"]
        credentials = conversation.credentials
        needed = credentials is None and repository is not None
        anonymous = await self._told("anonymous token", Asked("GET a token", None, scopes, needed))
        if credentials is None:
            if anonymous is not None:
                return await self._use({"Authorization": f"Bearer {anonymous.value}"}, "the anonymous token")
            return False
        if not may_have_password(self.challenge, conversation.place):
            sentence = "The password is not sent to a realm in plain http, as clients do not: correct the realm."
            asked = f"GET a token as {credentials.name}"
            conversation.report.add(Step("token", asked, "not asked", (fail(sentence),)))
            return False
        token = await self._told("token", Asked("GET a token", credentials.name))
        if token is None:
            return False
        await self._form()
        return await self._use({"Authorization": f"Bearer {token.value}"}, f"the token of {credentials.name}")

    async def _told(self, name: str, asked: Asked) -> Token | None:
        step, token = await self._token(name, asked)
        if step is not None:
            self.conversation.report.add(step)
        return token

    async def _token(self, name: str, asked: Asked) -> tuple[Step | None, Token | None]:
        conversation, credentials = self.conversation, self.conversation.credentials
        assert self.challenge is not None
        headers = {} if asked.user is None or credentials is None else {"Authorization": credentials.basic}
        url = self.challenge.token_url(asked.scopes, asked.user)
        reply = await conversation.ask(name, "GET", url, headers)
        if reply is None:
            return None, None
        conversation.report.hide(*secrets_in(reply))
        return judge_token(name, asked, reply, conversation.place, conversation.now())

    async def _form(self) -> None:
        conversation, credentials = self.conversation, self.conversation.credentials
        assert self.challenge is not None
        assert credentials is not None
        fields: Sequence[tuple[str, str]] = (
            ("grant_type", "password"),
            ("client_id", _CLIENT),
            ("service", self.challenge.parameters.get("service", "")),
            ("username", credentials.name),
            ("password", credentials.password),
        )
        conversation.report.hide(quote(credentials.password))
        body = urlencode(fields).encode("ascii")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = await conversation.ask("token by form", "POST", self.challenge.realm, headers, body)
        if reply is not None:
            conversation.report.hide(*secrets_in(reply))
            conversation.report.add(judge_form(Asked("POST for a token", credentials.name), reply))

    async def _use(self, headers: Headers, with_what: str) -> bool:
        conversation = self.conversation
        reply = await conversation.ask("login", "GET", conversation.url("/v2/"), headers)
        if reply is None:
            return False
        step = conversation.report.add(judge_use(reply, conversation.place, with_what, is_token=self.by_token))
        return step.verdict is not Verdict.FAIL

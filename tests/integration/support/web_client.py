"""A browser without scripts: keeps cookies, follows nothing."""

from __future__ import annotations

import asyncio
import http.client
import re
from collections.abc import Mapping
from email.message import Message
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from attrs import define, field, frozen


@frozen(kw_only=True)
class Answer:
    status: int
    headers: Message  # names in any case
    content: bytes

    @property
    def text(self) -> str:
        """The content, if it is not compressed."""
        return self.content.decode("utf-8", "replace")

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.text)
        assert found is not None, "the page has no form"
        return found[1]

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden fields of the question on the page, which its form sends."""
        form = self.text.partition('id="question"')[2].partition("</form>")[0]
        return dict(re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)">', form))


@define
class WebClient:
    port: int
    cookies: dict[str, str] = field(factory=dict)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.send("GET", path, headers=headers)

    async def post(self, path: str, _headers: Mapping[str, str] | None = None, **form: str) -> Answer:
        return await self.send("POST", path, body=urlencode(form), headers=_headers or {})

    async def log_in(self, username: str, password: str, **form: str) -> Answer:
        return await self.post("/MAAS/ui/login", None, username=username, password=password, **form)

    async def send(self, method: str, path: str, *, body: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        return await asyncio.to_thread(self._send, method, path, body, headers or {})

    def _send(self, method: str, path: str, body: str, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **headers}
        if body:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body or None, sent)
        response = connection.getresponse()
        for line in response.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        answer = Answer(status=response.status, headers=response.headers, content=response.read())
        connection.close()
        return answer

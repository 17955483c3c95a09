"""The requests that MAAS's power driver `webhook` sends, as `docs/how-to/maas-bridge.md` describes them."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from types import MappingProxyType
from urllib.parse import urlsplit

from attrs import define, field

ON_REGEX, OFF_REGEX = r"status.*\:.*running", r"status.*\:.*stopped"
WAITS_S = (1, 2, 2, 4, 6, 8, 12)
_REDIRECTS = (301, 302, 307, 308)
_DEADLINE_S = 60.0


class PowerError(Exception):
    """MAAS records it, and tries again."""


@define(kw_only=True)
class WebhookDriver:
    """One machine. `pause` replaces the waits; `authorities` is a file with the CAs that the rack's system trusts."""

    on_uri: str
    off_uri: str
    query_uri: str
    token: str
    verify: bool
    pause: Callable[[float], None]
    on_regex: str = ON_REGEX
    off_regex: str = OFF_REGEX
    authorities: str | None = None
    sent: list[tuple[str, str, int]] = field(factory=list)  # method, path, status of the answer

    def query(self, *, system_id: str = "") -> str:
        """Returns on, off or unknown. Only the periodic question of the rack names the machine."""
        text = self._request("GET", self.query_uri, {"System_Id": system_id} if system_id else {})
        if re.search(self.on_regex, text):
            return "on"
        return "off" if re.search(self.off_regex, text) else "unknown"

    def on(self) -> None:
        self._reach("on", self.on_uri)

    def off(self) -> None:
        self._reach("off", self.off_uri)

    def cycle(self) -> None:
        if self.query() == "on":
            self.off()
        self.on()

    def _reach(self, wanted: str, uri: str) -> None:
        error = PowerError(f"it is not {wanted}")
        for wait_s in WAITS_S:
            try:
                self._request("POST", uri, {})
                self.pause(wait_s)
                if self.query() == wanted:
                    return
            except PowerError as raised:
                error = raised
                self.pause(wait_s)
        if self.query() != wanted:
            raise error

    def _request(self, method: str, uri: str, headers: dict[str, str]) -> str:
        status, location, text = self.send(method, uri, headers)
        if status == 404:  # what the second answers does not matter
            self.send(method, f"{uri}/", headers)
        if status in _REDIRECTS and method == "GET" and location:
            return self._request(method, location, headers)
        if status in _REDIRECTS or (status >= 400 and status != 404):
            raise PowerError(f"{method} {uri}: {status} {text}")
        return text

    def send(
        self, method: str, uri: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, str | None, str]:
        """Returns status, Location and text of the answer to one request."""
        parts = urlsplit(uri)
        connection = self._connection(parts.scheme, parts.hostname or "", parts.port)
        try:
            connection.putrequest(method, parts.path, skip_accept_encoding=True)
            connection.putheader("Accept", "application/json")
            connection.putheader("User-Agent", "MAAS 4.0.0")
            connection.putheader("Authorization", f"Bearer {self.token}")
            for name, value in headers.items():
                connection.putheader(name, value)
            if method == "POST":
                connection.putheader("Content-Length", "0")
            connection.endheaders()
            answer: HTTPResponse = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        self.sent.append((method, parts.path, answer.status))
        return answer.status, answer.getheader("Location"), text

    def _connection(self, scheme: str, host: str, port: int | None) -> HTTPConnection:
        if scheme == "http":
            return HTTPConnection(host, port, timeout=_DEADLINE_S)
        context = ssl.create_default_context(cafile=self.authorities)
        context.check_hostname = False
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
        return HTTPSConnection(host, port, timeout=_DEADLINE_S, context=context)

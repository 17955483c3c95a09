"""HTTP client of a region's API: signed requests with deadlines, errors as exceptions.

It never repeats a request: one that was answered with 503, or not at all, may have been executed. `changes` repeats
those that have an idempotency key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from common.addresses.host_names import bracketed
from common.bodies.bounded_body import BoundedBody, TooLarge
from common.errors import DeadlineExceeded, InnkeeperError, InvalidRequest, LinkLost, ResponseRejected
from common.process.http_request import (
    BROKEN,
    UNREACHABLE,
    Breakage,
    Broken,
    Take,
    header,
    reason_of,
    request,
    signer,
)
from common.process.https_policy import HttpsPolicy
from common.trust.server_trust import BY_THE_COMPUTER, ServerTrust
from innkeeper.answer import Answer, raise_error
from innkeeper.api_description import API_PATH, Method
from innkeeper.profiles import Profile
from innkeeper.request_body import Body

if TYPE_CHECKING:
    from innkeeper.websocket import WebSocket

CONNECT_TIMEOUT_S = 10.0
MAX_BYTES = 2**30  # of an answer that is not written to a file, such as a list of all VMs
REQUEST_TIMEOUT_S = 300.0  # longer than the region waits for an operation
# As long as a region waits at most. Without it, a region answers after a few seconds, while the operation continues.
WAIT = {"Prefer": "wait=120"}
_DESCRIPTION_HASH = "X-MAAS-API-Hash"
_MAX_DIGITS = 9
_HOW_TO_TRUST = (
    "If the region has one of your own authority, log in with --ca-file FILE. Otherwise compare: openssl x509 -noout "
    "-fingerprint -sha256 -in TLS_CERTIFICATE on the region's computer prints its fingerprint, for --fingerprint."
)
_WARNING = re.compile(r'299 - "([^"]*)"')


class Api:
    """A region's API, used with one API key. Each request opens a connection, so there is nothing to close."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        trust: ServerTrust = BY_THE_COMPUTER,
        reactor: IReactorTime | None = None,
    ) -> None:
        """`url` as returned by `api_url`; without `key`, requests are unsigned. Raises InvalidRequest for a bad key."""
        if reactor is None:
            # Importing it installs a reactor, which is the choice of the program.
            from twisted.internet import reactor as installed  # noqa: PLC0415

            reactor = installed
        self.url = url
        self._reactor = reactor
        self._sign = _signer(key) if key else None
        self._policy = HttpsPolicy(trust)

    @classmethod
    def of(cls, profile: Profile) -> Api:
        """The API of the profile's region."""
        return cls(profile.url, profile.key or None, trust=profile.trust)

    async def get(self, path: str, *, op: str | None = None, deadline_s: float = 60.0) -> Answer:
        return await self.send("GET", path, query=[("op", op)] if op else [], deadline_s=deadline_s)

    async def send(
        self,
        method: Method,
        path: str,
        *,
        query: Sequence[tuple[str, str | bytes]] = (),
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        deadline_s: float = REQUEST_TIMEOUT_S,
    ) -> Answer:
        """Returns a 2xx response. `path` is relative to the base.

        Raises InvalidRequest with `fields` (400), NotAuthenticated, NotAllowed, NotFound, or InnkeeperError for other
        statuses, each with `status` in its details; InnkeeperError if the connection fails; LinkLost and
        DeadlineExceeded if the outcome is unknown: the request may have been executed.
        """
        data, content_type = body.encoded() if body is not None else (b"", "")
        sent = {
            **(WAIT if method != "GET" else {}),
            **(headers or {}),
            **({"Content-Type": content_type} if content_type else {}),
        }
        answer = await self._answer(method, self._url(path, query), sent, data, deadline_s=deadline_s)
        if not 200 <= answer.status < 300:
            raise_error(answer)
        return answer

    async def stream(
        self,
        path: str,
        on_data: Callable[[bytes], None],
        *,
        query: Sequence[tuple[str, str | bytes]] = (),
        headers: Mapping[str, str],
        silence_s: float,
    ) -> None:
        """Calls `on_data` with each part of a long response, or one without an end, until it ends.

        Raises as `send`; DeadlineExceeded if nothing arrives for `silence_s`.
        """
        answer = await self._answer("GET", self._url(path, query), headers, b"", deadline_s=silence_s, on_data=on_data)
        if not 200 <= answer.status < 300:
            raise_error(answer)

    async def websocket(
        self,
        path: str,
        *,
        op: str | None,
        query: Sequence[tuple[str, str | bytes]] = (),
        deadline_s: float = REQUEST_TIMEOUT_S,
    ) -> WebSocket:
        """Returns an open WebSocket. Raises as `send`."""
        from innkeeper.websocket import open_websocket  # noqa: PLC0415  # most commands need none

        url = self._url(path, [*([("op", op)] if op else []), *query])
        signed = self._sign("GET", url) if self._sign else ""
        try:
            async with asyncio.timeout(deadline_s):
                socket = await open_websocket(self._reactor, self._policy, url, signed, connect_s=CONNECT_TIMEOUT_S)
                response = await socket.opened()
        except TimeoutError:
            raise DeadlineExceeded(f"{self.url} did not answer within {deadline_s:.0f} s.") from None
        except UNREACHABLE as error:
            raise InnkeeperError(self._unreachable(error), unreachable=True) from error
        except LinkLost as error:
            raise self._policy.rejected or error from None
        if response.status_code != 101:
            socket.close()
            raise_error(
                Answer(
                    status=response.status_code,
                    body=bytes(response.body or b""),
                    content_type=response.headers.get("Content-Type", ""),
                    description_hash=response.headers.get(_DESCRIPTION_HASH),
                )
            )
        return socket

    def _url(self, path: str, query: Sequence[tuple[str, str | bytes]]) -> str:
        return self.url + path + (f"?{urlencode(list(query))}" if query else "")

    async def _answer(
        self,
        method: Method,
        url: str,
        headers: Mapping[str, str],
        data: bytes,
        *,
        deadline_s: float,
        on_data: Callable[[bytes], None] | None = None,
    ) -> Answer:
        """With `on_data`, the body of a successful response goes there, and the deadline is that of its next part."""
        sent = Headers({name: [value] for name, value in headers.items()})
        if self._sign:
            sent.setRawHeaders("Authorization", [self._sign(method, url)])
        body = BoundedBody(MAX_BYTES)
        try:
            async with asyncio.timeout(deadline_s) as deadline:

                def take(response: Any) -> Take:
                    if on_data is None or response.code not in (200, 206):
                        return body.take
                    return _postponing(deadline, deadline_s, on_data)

                response = await request(
                    self._reactor, self._policy, method, url, sent, data, connect_s=CONNECT_TIMEOUT_S, take=take,
                    is_stream=on_data is not None,
                )  # fmt: skip
        except TimeoutError:
            raise DeadlineExceeded(f"{self.url} did not answer within {deadline_s:.0f} s.") from None
        except TooLarge as error:
            raise ResponseRejected(f"{self.url} answered with {error}, which is more than a region answers.") from None
        except UNREACHABLE as error:
            raise InnkeeperError(self._unreachable(error), unreachable=True) from error
        except BROKEN as error:
            raise self._policy.rejected or _broken_connection(self.url, error) from error
        return Answer(
            status=response.code,
            body=body.content(),
            content_type=header(response, "Content-Type") or "",
            location=header(response, "Location"),
            description_hash=header(response, _DESCRIPTION_HASH),
            warnings=tuple(_WARNING.findall(header(response, "Warning") or "")),
            retry_after_s=_seconds(header(response, "Retry-After")),
        )

    def _unreachable(self, error: Exception) -> str:
        parts = urlsplit(self.url)
        if isinstance(error, DNSLookupError):
            return f"Cannot resolve {parts.hostname}: check the region's address {self.url}"
        reason = "connection refused" if isinstance(error, ConnectionRefusedError) else reason_of(error)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return f"Cannot connect to {bracketed(parts.hostname or '')}:{port}: {reason}. Is the region running?"


def _postponing(deadline: asyncio.Timeout, by_s: float, on_data: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def received(data: bytes) -> None:
        deadline.reschedule(asyncio.get_running_loop().time() + by_s)
        on_data(data)

    return received


def api_url(text: str) -> str:
    """The API's base for `http://host:5240`, `…/MAAS` or `…/MAAS/api/2.0/`. Raises InvalidRequest."""
    try:
        parts = urlsplit(text.strip())
        netloc = parts.netloc.encode("idna").decode("ascii")
        named = bool(parts.hostname) and "_" not in (parts.hostname or "")  # Twisted does not resolve names with "_"
        usable = named and parts.scheme in ("http", "https") and (parts.port is None or parts.port > 0)
    except ValueError:  # invalid port, brackets or domain name
        usable = False
    if not usable or parts.query or parts.username is not None:
        raise InvalidRequest(f"Invalid region address '{text}'. Example: http://127.0.0.1:5240/MAAS")
    path = parts.path.rstrip("/")
    for ending in ("/api/2.0", "/MAAS"):
        path = path.removesuffix(ending)
    return urlunsplit((parts.scheme, netloc, quote(path, safe="/%") + API_PATH, "", ""))


def relative_path(url: str) -> str:
    """A `Location` or `resource_uri`, absolute or from the root, relative to the API's base."""
    path = urlsplit(url).path
    return path.partition(API_PATH)[2] if API_PATH in path else path.lstrip("/")


def _signer(key: str) -> Callable[[str, str], str]:
    parts = key.strip().split(":")
    if len(parts) != 3 or not all(parts):
        raise InvalidRequest("An API key has three parts, separated by colons: consumer:token:secret.")
    consumer, token, secret = parts
    return signer(consumer, token, secret)


def _seconds(text: str | None) -> int | None:
    """None also for a date, which no region sends."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS else None


def _broken_connection(url: str, error: Exception) -> InnkeeperError:
    """LinkLost if the connection was lost before the response: the request may have been executed.

    Any other error means that no region speaks there, or none that is trusted: a repeat changes nothing.
    """
    broken = Broken.of(error)
    match broken.meaning:
        case Breakage.NO_TLS:
            other = url.replace("https:", "http:", 1)
            return _unusable(f"The server at {url} does not speak TLS. If it serves plain HTTP, use {other}")
        case Breakage.NOT_TRUSTED:
            return _unusable(f"No authority of this computer vouches for the certificate of {url}. {_HOW_TO_TRUST}")
        case Breakage.TLS:
            return LinkLost(f"TLS error at {url} ({broken.reason}). Check the server's certificate, and https or http.")
        case Breakage.NO_HTTP:
            other = url.replace("http:", "https:", 1)
            return _unusable(
                f"The server at {url} does not speak HTTP. Check the port. If the server expects TLS, use {other}"
            )
        case Breakage.LOST:
            return LinkLost(f"Connection to {url} lost before the response ({broken.reason}).")


def _unusable(message: str) -> InnkeeperError:
    return InnkeeperError(message, unreachable=True)

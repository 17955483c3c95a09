"""Requests to a region's API: signed, with a deadline, and refused in words.

Nothing is ever sent twice on its own: a compose that was answered with 503 or not at all may have happened.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import treq
from attrs import field, frozen
from oauthlib.oauth1 import SIGNATURE_PLAINTEXT, Client
from OpenSSL import SSL
from twisted.internet.error import ConnectError, ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.web._newclient import ParseError, RequestTransmissionFailed
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers

from common.bridge import from_deferred
from common.errors import (
    DeadlineExceeded,
    InnkeeperError,
    InvalidRequest,
    LinkLost,
    NotAllowed,
    NotAuthenticated,
    NotFound,
)
from innkeeper.describe import API_PATH, Method

CONNECT_S = 10.0
SYNCHRONOUS_S = 300.0  # the server ends its own waits well before
LONGEST_TEXT = 2000

_BY_STATUS: Mapping[int, type[InnkeeperError]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
}


@frozen(kw_only=True)
class Answer:
    """A 2xx response. `location` is where a 202 says that the operation is."""

    status: int
    body: bytes
    content_type: str = ""
    location: str | None = None
    description_hash: str | None = None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def is_json(self) -> bool:
        return self.content_type.partition(";")[0].strip().lower() == "application/json"

    def json(self) -> Any:
        """Raises InnkeeperError when the body is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise InnkeeperError(f"The server answered something that is not JSON: {self.text[:200]!r}") from error


@frozen(kw_only=True)
class Body:
    """Fields of a form; a value of bytes is sent as it is, whatever it holds."""

    fields: Sequence[tuple[str, str | bytes]] = field(factory=tuple)

    def encoded(self) -> tuple[bytes, str]:
        """The bytes and their content type: urlencoded, or multipart when a value is no text."""
        if all(isinstance(value, str) for _, value in self.fields):
            return urlencode(list(self.fields)).encode("ascii"), "application/x-www-form-urlencoded"
        boundary = secrets.token_hex(16)
        parts = [_part(boundary, name, value) for name, value in self.fields]
        return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f'multipart/form-data; boundary="{boundary}"'


class Api:
    """One region's API as one user. Each request has a connection of its own, so there is nothing to close."""

    def __init__(self, url: str, key: str | None, *, reactor: IReactorTime | None = None) -> None:
        """`url` as `api_url` gives it; without `key` requests are anonymous. Raises InvalidRequest for a bad key."""
        if reactor is None:
            # Imported late: importing it chooses the reactor, and that is the program's choice.
            from twisted.internet import reactor as installed  # noqa: PLC0415

            reactor = installed
        self.url = url
        self._sign = _signer(key) if key else None
        self._agent = Agent(reactor, connectTimeout=CONNECT_S)

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
        deadline_s: float = SYNCHRONOUS_S,
    ) -> Answer:
        """The answer when it is 2xx. `path` is relative to the base.

        Raises InvalidRequest with `fields` (400), NotAuthenticated, NotAllowed, NotFound, InnkeeperError for other
        refusals, each with `status` in its details; InnkeeperError when nothing listens there; LinkLost when the
        connection broke and DeadlineExceeded when time is over, and then the request may have been carried out.
        """
        url = self.url + path + (f"?{urlencode(list(query))}" if query else "")
        data, content_type = body.encoded() if body is not None else (b"", "")
        sent = Headers({name: [value] for name, value in (headers or {}).items()})
        if content_type:
            sent.setRawHeaders("Content-Type", [content_type])
        if self._sign:
            sent.setRawHeaders("Authorization", [self._sign.sign(url, http_method=method)[1]["Authorization"]])
        try:
            async with asyncio.timeout(deadline_s):
                producer = FileBodyProducer(BytesIO(data)) if data else None
                response = await from_deferred(self._agent.request(method.encode(), url.encode(), sent, producer))
                content = await from_deferred(treq.content(response))
        except TimeoutError:
            raise DeadlineExceeded(f"{self.url} gave no answer within {deadline_s:.0f} s.") from None
        except (ConnectError, DNSLookupError) as error:
            raise InnkeeperError(self._unreachable(error)) from error
        except (ResponseFailed, ResponseNeverReceived, RequestTransmissionFailed, ConnectionLost) as error:
            raise LinkLost(_broken(self.url, error)) from error
        answer = Answer(
            status=response.code,
            body=content,
            content_type=_header(response, "Content-Type") or "",
            location=_header(response, "Location"),
            description_hash=_header(response, "X-MAAS-API-Hash"),
        )
        if not 200 <= answer.status < 300:
            refuse(answer)
        return answer

    def _unreachable(self, error: Exception) -> str:
        place = urlsplit(self.url).netloc
        if isinstance(error, DNSLookupError):
            return f"The name in {self.url} is not known: check the address of the region for a slip."
        reason = "connection refused" if isinstance(error, ConnectionRefusedError) else _why(error)
        return f"Nothing answers at {self.url} ({reason}): check that the region runs and listens on {place}."


def api_url(text: str) -> str:
    """The API's base for what people give: `http://host:5240`, `…/MAAS`, `…/MAAS/api/2.0/`. Raises InvalidRequest."""
    try:
        parts = urlsplit(text.strip())
        place = parts.netloc.encode("idna").decode("ascii")
        named = bool(parts.hostname) and "_" not in (parts.hostname or "")  # Twisted looks up no name with a "_"
        usable = named and parts.scheme in ("http", "https") and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, brackets that do not match, a name that no domain can have
        usable = False
    if not usable or parts.query or parts.username is not None:
        raise InvalidRequest(f"'{text}' is no address of a region; it looks like http://127.0.0.1:5240/MAAS")
    path = parts.path.rstrip("/")
    for ending in ("/api/2.0", "/MAAS"):
        path = path.removesuffix(ending)
    return urlunsplit((parts.scheme, place, quote(path, safe="/%") + API_PATH, "", ""))


def relative_path(url: str) -> str:
    """A `Location` or `resource_uri`, absolute or from the root, relative to the API's base."""
    path = urlsplit(url).path
    return path.partition(API_PATH)[2] if API_PATH in path else path.lstrip("/")


def refuse(answer: Answer) -> NoReturn:
    """Raise what a response outside 2xx means, in the server's own words."""
    details = {"status": answer.status, "location": answer.location}
    kind = _BY_STATUS.get(answer.status, InnkeeperError)
    fields = _fields(answer) if answer.status == 400 else {}
    if fields:
        raise InvalidRequest("The request was refused.", fields=fields, **details)
    if 300 <= answer.status < 400:
        raise InnkeeperError(f"The server sends us on to {answer.location}: log in with that address.", **details)
    raise kind(_said(answer), **details)


def _said(answer: Answer) -> str:
    text = answer.text.strip()
    if not text:
        return f"The server refused with status {answer.status} and gave no reason."
    if answer.content_type.startswith("text/html"):
        return f"The server answered with status {answer.status} and a web page: is this the address of a region?"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _fields(answer: Answer) -> dict[str, list[str]]:
    if not answer.is_json:
        return {}
    plain = answer.json()
    if not isinstance(plain, dict):
        return {}
    return {str(key): [str(each) for each in (v if isinstance(v, list) else [v])] for key, v in plain.items()}


def _signer(key: str) -> Client:
    parts = key.strip().split(":")
    if len(parts) != 3 or not all(parts):
        raise InvalidRequest("An API key has three parts joined by colons: consumer:token:secret.")
    consumer, token, secret = parts
    return Client(
        consumer,
        client_secret="",
        resource_owner_key=token,
        resource_owner_secret=secret,
        signature_method=SIGNATURE_PLAINTEXT,
    )


def _part(boundary: str, name: str, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    # Without a file name it is a field, whatever its type says.
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
    kind = "" if isinstance(value, str) else "Content-Type: application/octet-stream\r\n"
    return (head + kind + "\r\n").encode() + data + b"\r\n"


def _header(response: Any, name: str) -> str | None:
    values = response.headers.getRawHeaders(name)
    return values[0] if values else None


def _broken(url: str, error: Exception) -> str:
    reasons = getattr(error, "reasons", None)
    cause: BaseException = reasons[0].value if reasons else error
    if isinstance(cause, SSL.Error):
        told = "; ".join(str(entry[-1]) for entry in (cause.args[0] if cause.args else ())) or "no reason given"
        return f"No secure connection to {url} ({told}): check the server's certificate, and https or http."
    if isinstance(cause, ParseError):
        return f"What answers at {url} does not speak HTTP: check the port, and https or http."
    return f"The connection to {url} broke before the answer ({_why(cause)}); what was asked may have happened."


def _why(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:200] or type(error).__name__

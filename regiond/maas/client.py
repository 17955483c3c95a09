"""Calls the API of a MAAS: signed requests with deadlines, bounded answers and errors that say what helps.

It never repeats a call and follows no redirect. It connects to any address that an administrator names, also in
private networks and on this computer, where a MAAS may be: it asks only below `/MAAS/api/2.0/`, and no message repeats
a page that another server answers with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from attrs import define, field, frozen
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.web.http_headers import Headers

from common.bodies.bounded_body import TooLarge
from common.bodies.bounded_json import MAX_VALUES
from common.errors import DeadlineExceeded, InnkeeperError, LinkLost, MaasUnavailable, NotTrusted, ResponseRejected
from common.process.http_request import (
    BROKEN,
    UNREACHABLE,
    Breakage,
    Broken,
    header,
    reason_of,
    signer,
    whole,
)
from common.process.https_policy import HttpsPolicy
from regiond.maas.access import MaasAccess
from regiond.maas.failures import MaasAnswer, content, refusal

Method = Literal["GET", "POST", "PUT", "DELETE"]
Pairs = Sequence[tuple[str, str]]

CALLS_AT_ONCE = 3  # MAAS has few worker threads, and one slow list occupies one
CONNECT_DEADLINE_S = 10.0
CALL_DEADLINE_S = 120.0
_FORM = "application/x-www-form-urlencoded"


@frozen(kw_only=True)
class AnswerLimits:
    """The size of an answer, and the values of its JSON. By default it may be parsed in the event loop of a region."""

    max_bytes: int = 4 * 1024 * 1024  # 50 machines have about one
    max_values: int = MAX_VALUES


@define
class MaasClient:
    """One MAAS, with one key. Each call opens a connection, so there is nothing to close.

    Calls raise MaasRefused (a repeat would not help), MaasUnavailable, NotTrusted (its certificate), ResponseRejected,
    and, with an outcome that is unknown unless the call is a GET, LinkLost and DeadlineExceeded.
    """

    access: MaasAccess
    deadline_s: float = CALL_DEADLINE_S
    limits: AnswerLimits = AnswerLimits()
    calls: int = field(default=0, init=False)  # how many were made
    _slots: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(CALLS_AT_ONCE), init=False)

    async def get(self, path: str, *, op: str | None = None, query: Pairs = (), signed: bool = True) -> Any:
        """Returns the JSON. `path` is relative to the base, such as `vm-hosts/4/`; without `signed`, no key is sent."""
        return self._json("GET", path, await self.send("GET", path, op=op, query=query, signed=signed))

    async def post(self, path: str, *, op: str | None = None, form: Pairs = ()) -> Any:
        """Returns the JSON, None for an empty answer (204)."""
        return self._json("POST", path, await self.send("POST", path, op=op, form=form))

    async def put(self, path: str, *, form: Pairs = ()) -> Any:
        return self._json("PUT", path, await self.send("PUT", path, form=form))

    async def delete(self, path: str, *, query: Pairs = ()) -> None:
        await self.send("DELETE", path, query=query)

    async def send(
        self,
        method: Method,
        path: str,
        *,
        op: str | None = None,
        query: Pairs = (),
        form: Pairs | None = None,
        signed: bool = True,
    ) -> MaasAnswer:
        """Returns a 2xx response as it is: not every answer is JSON."""
        parameters = [*([("op", op)] if op else []), *query]
        url = self.access.url + path + (f"?{urlencode(parameters)}" if parameters else "")
        call = f"{method} {path}{f'?op={op}' if op else ''}"
        async with self._slots:
            self.calls += 1
            headers = self._headers(method, url, signed=signed, has_form=form is not None)
            answer = await self._answer(method, url, call, headers, urlencode(list(form or ())).encode())
        if not 200 <= answer.status < 300:
            raise refusal(call, self.access.label, answer)
        return answer

    def _json(self, method: Method, path: str, answer: MaasAnswer) -> Any:
        if not answer.body and method != "GET":
            return None
        return content(f"{method} {path}", self.access.label, answer, max_values=self.limits.max_values)

    async def _answer(self, method: Method, url: str, call: str, headers: Headers, body: bytes) -> MaasAnswer:
        from twisted.internet import reactor  # noqa: PLC0415  # after the reactor was chosen

        policy = HttpsPolicy(self.access.trust)  # one each: it remembers why it rejected a certificate
        where = self.access.label
        try:
            response, received = await whole(
                reactor, policy, method, url, headers, body,
                connect_s=CONNECT_DEADLINE_S, deadline_s=self.deadline_s, max_bytes=self.limits.max_bytes,
            )  # fmt: skip
        except TimeoutError:
            raise DeadlineExceeded(
                f"{where} did not answer {call} within {self.deadline_s:.0f} s. Look there whether MAAS is overloaded, "
                "and whether a firewall drops the connection."
            ) from None
        except TooLarge as error:
            raise ResponseRejected(
                f"{where} answered {call} with {error}, which is more than such an answer has."
            ) from None
        except UNREACHABLE as error:
            raise MaasUnavailable(_unreachable(self.access.url, error)) from error
        except BROKEN as error:
            raise _pinned_other(policy.rejected, where) or _broken(self.access, call, error) from error
        return MaasAnswer(
            status=response.code,
            body=received,
            content_type=header(response, "Content-Type") or "",
            location=header(response, "Location") or "",
            retry_after=header(response, "Retry-After") or "",
        )

    def _headers(self, method: Method, url: str, *, signed: bool, has_form: bool) -> Headers:
        headers = Headers({"Accept": ["application/json"], "User-Agent": ["Innkeeper"]})
        if has_form:
            headers.setRawHeaders("Content-Type", [_FORM])
        if signed:
            credential = self.access.credential
            sign = signer(credential.consumer, credential.token, credential.secret)
            headers.setRawHeaders("Authorization", [sign(method, url)])
        return headers


def _pinned_other(rejected: NotTrusted | None, where: str) -> NotTrusted | None:
    return None if rejected is None else NotTrusted(f"{where}: {rejected.message}", **rejected.details)


def _unreachable(url: str, error: Exception) -> str:
    parts = urlsplit(url)
    if isinstance(error, DNSLookupError):
        return f"The name {parts.hostname} of the MAAS does not resolve on the region's computer. Check the address."
    reason = "the connection is refused" if isinstance(error, ConnectionRefusedError) else reason_of(error)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return (
        f"The region cannot connect to the MAAS at {parts.hostname}:{port}: {reason}. Check that MAAS runs there, its "
        "port (5240, with TLS usually 5443), and firewalls between both computers."
    )


def _broken(access: MaasAccess, call: str, error: Exception) -> InnkeeperError:
    """LinkLost if the connection was lost before the response; any other error is lasting."""
    where, broken = access.label, Broken.of(error)
    match broken.meaning:
        case Breakage.NO_TLS:
            other = where.replace("https:", "http:", 1)
            return MaasUnavailable(f"The server at {where} does not speak TLS. If MAAS serves plain HTTP, use {other}")
        case Breakage.NOT_TRUSTED:
            return NotTrusted(
                f"The certificate of {where} is not signed by an authority that this computer trusts, or names another "
                "host. Give the certificates of MAAS's authority, or compare the fingerprint on its computer (openssl "
                "x509 -noout -fingerprint -sha256 -in FILE) and give that."
            )
        case Breakage.TLS:
            return MaasUnavailable(f"TLS with {where} failed ({broken.reason}). Check its certificate and its port.")
        case Breakage.NO_HTTP:
            other = where.replace("http:", "https:", 1)
            return MaasUnavailable(f"The server at {where} does not speak HTTP. If it expects TLS, use {other}")
        case Breakage.LOST:
            unknown = "" if call.startswith("GET ") else " It may have been carried out."
            return LinkLost(
                f"The connection to {where} was lost before the answer to {call} ({broken.reason}).{unknown}"
            )

"""A typed client of one LXD server's REST API that counts requests and translates errors.

The only module that imports pylxd. It uses pylxd's raw API, because the models make one request per object.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import pylxd
import requests
from attrs import field, frozen
from pylxd import exceptions
from requests.adapters import HTTPAdapter

from common.addresses.lxd import LxdAddress
from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound, NotTrusted
from rackd.drivers.lxd.connection.response_body import read_beginning, read_body
from rackd.drivers.lxd.connection.tls import CONNECT_S, connection_error, explain_verification_failure

Json = dict[str, Any]
T = TypeVar("T")

HOW_TO_TRUST = "lxc config trust add --name innkeeper"
READ_S = 60.0  # a listing of a thousand guests takes LXD one or two seconds
WORK_S = 600.0  # creating a large disk on slow storage
POLL_S = 5.0  # how long one request waits for an operation
_UNAVAILABLE = {502, 503, 504}  # LXD is starting, stopping, or without its cluster database


@frozen(kw_only=True)
class Scope:
    """The part of a server that a host is: one project, and in a cluster one member."""

    project: str
    member: str | None = None


class NotAuthorized(NotTrusted):
    """LXD responded 403. The driver may have an alternative; callers see NotTrusted."""


class Conflict(DriverFailed):
    """The object to create already exists."""


class PreconditionFailed(DriverFailed):
    """The object to change has changed since it was read."""


class Unfinished(DriverFailed):
    """The operation did not end in time; its outcome is unknown."""


def path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


@frozen(kw_only=True)
class FilePart:
    """A part of a file that LXD sends. `total_bytes` and `changed_at` are those of the whole file."""

    data: bytes = field(repr=False)
    total_bytes: int
    changed_at: str


class _PinnedAdapter(HTTPAdapter):
    """Uses one TLS context for all requests and translates the errors of requests."""

    def __init__(
        self,
        address: LxdAddress,
        context: ssl.SSLContext,
        explain: Callable[[Exception], InnkeeperError],
        large_body: threading.Lock,
    ) -> None:
        self._address = address
        self._context = context
        self._explain = explain
        self._large_body = large_body
        self.calls = 0
        self.date: tuple[str | None, datetime] | None = None
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        # Otherwise urllib3 compares the address with the certificate's names, despite the context. The pinned
        # certificate is right at any address: a cluster's certificate names none of its members.
        super().init_poolmanager(*args, ssl_context=self._context, assert_hostname=False, **options)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # otherwise requests loads its own CA bundle, or one from the environment

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Follows no redirect: the request, with a token or password in it, is for the pinned server only."""
        self.calls += 1
        try:
            response = super().send(request, *args, **options)
            self.date = response.headers.get("Date"), datetime.now(UTC)
            if response.is_redirect:
                response.close()
                raise HostUnreachable(
                    f"LXD at {self._address.normalised} redirects to {response.headers['Location'][:200]}, which "
                    "Innkeeper does not follow. Add the host with the address of the LXD server itself."
                )
            # What requests itself sets when it has read a body.
            response._content = (  # noqa: SLF001  # there is no public setter
                read_beginning(response, server=self._address.normalised)
                if options.get("stream")
                else read_body(response, server=self._address.normalised, large=self._large_body)
            )
        except requests.exceptions.RequestException as error:
            raise self._explain(error) from error
        return response


class Client:
    """One server. Every method may raise HostUnreachable, PeerChanged, NotTrusted, NotFound or DriverFailed."""

    def __init__(
        self,
        address: LxdAddress,
        context: ssl.SSLContext,
        pinned_pem: str,
        *,
        closing: threading.Event,
        large_body: threading.Lock,
        read_s: float = READ_S,
    ) -> None:
        """Contacts nothing. `closing` interrupts the wait for an operation; `large_body` is held while a large body of
        this server is read; `read_s` limits the time for one response.
        """
        self._read_s = read_s
        self.address = address
        self.context = context
        self._pinned_pem = pinned_pem
        self._closing = closing
        self._large_body = large_body
        self._adapter = _PinnedAdapter(address, context, self.explain, large_body)
        self._session = requests.Session()
        self._session.trust_env = False  # ignore proxies, CA bundles and .netrc of the environment
        self._session.adapters.clear()  # no plain HTTP
        self._session.mount("https://", self._adapter)
        self._lxd: Any = None

    def at(self, address: LxdAddress) -> Client:
        """Returns a client of the same server at another address; all members of a cluster present the same
        certificate.
        """
        return Client(
            address, self.context, self._pinned_pem, closing=self._closing, large_body=self._large_body,
            read_s=self._read_s,
        )  # fmt: skip

    @property
    def calls(self) -> int:
        """The number of requests so far."""
        return self._adapter.calls

    @property
    def date(self) -> tuple[str | None, datetime] | None:
        """The Date header of the last response, and when it was received; None before the first one."""
        return self._adapter.date

    def server(self) -> Json:
        """Returns `/1.0`, which needs no trust: it contains `auth` and the API extensions."""
        if self._lxd is None:
            self._lxd = self._call("connecting", self._connect)
            found: Json = self._lxd.host_info
        else:
            found = self.get("")
        return found

    def get(self, where: str, **params: str) -> Any:
        """Returns the `metadata` of the response for `where` below `/1.0/`."""
        return self.request("get", where, params=params).json()["metadata"]

    def get_within(self, limit_s: float, where: str, **params: str) -> Any:
        """Returns as `get`, but raises HostUnreachable if LXD does not respond within `limit_s`."""
        return self.request("get", where, params=params, timeout=(CONNECT_S, limit_s)).json()["metadata"]

    def beginning_of(self, where: str, **params: str) -> bytes:
        """Returns the first MiB of a file that LXD sends."""
        return self.request("get", where, params=params, stream=True, is_api=False).content

    def part_of(self, where: str, start: int, size: int, **params: str) -> FilePart:
        """Returns up to `size` bytes, at most a few MiB, of a file that LXD sends, from `start` on."""
        if self._lxd is None:
            self.server()
        node, last = self._lxd.api[where], start + size - 1

        def send() -> requests.Response:
            # pylxd takes the status of a part for an error.
            response: requests.Response = node.session.get(
                f"{self.address.normalised}/1.0/{where}",
                params={key: text for key, text in params.items() if text},
                headers={"Range": f"bytes={start}-{last}"},
                timeout=(CONNECT_S, self._read_s),
            )
            if response.status_code == 404:
                raise exceptions.NotFound(response)
            if response.status_code != 206:
                raise exceptions.LXDAPIException(response)
            return response

        response = self._call(f"GET /1.0/{where}", send)
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        if not total.isdecimal() or len(response.content) != min(size, int(total) - start):
            raise DriverFailed(f"LXD at {self.address.normalised} sent another part of a file than that asked for.")
        return FilePart(
            data=response.content, total_bytes=int(total), changed_at=response.headers.get("Last-Modified", "")
        )

    def find(self, where: str, **params: str) -> Any | None:
        """Returns as `get`, or None if the object does not exist."""
        try:
            return self.get(where, **params)
        except NotFound:
            return None

    def get_with_etag(self, where: str, **params: str) -> tuple[Json, str]:
        """Returns as `get`, and an ETag: with it, `put` and `patch` raise PreconditionFailed after another change."""
        response = self.request("get", where, params=params)
        return response.json()["metadata"], response.headers.get("ETag", "")

    def post(self, where: str, body: Mapping[str, Any], *, wait_s: float = WORK_S, **params: str) -> None:
        self._change("post", where, params, wait_s, json=body)

    def upload(
        self, where: str, parts: Iterable[bytes], headers: Mapping[str, str], *, wait_s: float = WORK_S, **params: str
    ) -> None:
        """Posts a body that is made while it is sent. What `parts` raises ends the request, without the body's end."""
        self._change("post", where, params, wait_s, data=parts, headers=dict(headers))

    def put(
        self, where: str, body: Mapping[str, Any], *, wait_s: float = WORK_S, etag: str = "", **params: str
    ) -> None:
        self._change("put", where, params, wait_s, json=body, headers={"If-Match": etag} if etag else {})

    def patch(self, where: str, body: Mapping[str, Any], *, etag: str = "", **params: str) -> None:
        self._change("patch", where, params, WORK_S, json=body, headers={"If-Match": etag} if etag else {})

    def delete(self, where: str, **params: str) -> None:
        self._change("delete", where, params, WORK_S)

    def explain(self, error: Exception) -> InnkeeperError:
        """Translates a connection error."""
        cause = _root(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return explain_verification_failure(self.address, self._pinned_pem, cause.verify_message)
        if isinstance(error, requests.exceptions.Timeout | TimeoutError):
            return HostUnreachable(f"LXD at {self.address.normalised} did not respond in time.")
        return HostUnreachable(f"Cannot connect to LXD at {self.address.normalised}: {connection_error(cause)}.")

    def close(self) -> None:
        self._session.close()

    def _connect(self) -> Any:
        endpoint, timeout = self.address.normalised, (CONNECT_S, self._read_s)
        return pylxd.Client(endpoint=endpoint, session=self._session, timeout=timeout)

    def _change(self, method: str, where: str, params: Mapping[str, str], wait_s: float, **options: Any) -> None:
        response = self.request(method, where, params=params, **options).json()
        if response.get("type") == "async":
            self.wait(response["operation"], wait_s)

    def request(self, method: str, where: str, *, params: Mapping[str, str], **options: Any) -> requests.Response:
        """Sends one request to `/1.0/where`; every call uses it."""
        if self._lxd is None:
            self.server()
        node = self._lxd.api[where] if where else self._lxd.api
        send: Callable[..., requests.Response] = getattr(node, method)
        return self._call(
            f"{method.upper()} /1.0/{where}",
            lambda: send(params={key: text for key, text in params.items() if text}, **options),
        )

    def wait(self, operation: str, wait_s: float = WORK_S) -> None:
        """Waits until the operation is done. Raises DriverFailed with LXD's reason if it failed, Unfinished if it takes
        longer than `wait_s`.

        Raises HostUnreachable if the outcome is unknown.
        """
        operation_id = operation.partition("?")[0].rpartition("/")[2]
        ends_at = time.monotonic() + wait_s
        while True:
            left_s = ends_at - time.monotonic()
            timeout = str(max(1, round(min(POLL_S, left_s))))
            try:
                found = self.get(path("operations", operation_id, "wait"), timeout=timeout)
            except NotFound as error:
                raise HostUnreachable(
                    f"LXD at {self.address.normalised} no longer knows the operation; it may have been restarted."
                ) from error
            if found["status_code"] >= 200:
                if found["status_code"] != 200:
                    raise _failure(str(found.get("err") or found["status"]))
                return
            if self._closing.is_set():
                raise HostUnreachable("This rack closed the connection to the host.")
            if left_s <= 0:
                raise Unfinished(f"LXD did not finish '{found.get('description')}' within {wait_s:g} s.")

    def _call(self, what: str, send: Callable[[], T]) -> T:
        try:
            return send()
        except exceptions.LXDAPIException as error:
            raise self._translate(error, what) from error
        except (exceptions.ClientConnectionFailed, ValueError, KeyError) as error:
            raise DriverFailed(
                f"The server at {self.address.normalised} did not respond as LXD does: {what}: {error}."
            ) from error

    def _translate(self, error: Exception, what: str) -> InnkeeperError:
        status, reason = error.response.status_code, str(error)  # type: ignore[attr-defined]  # pylxd has no types
        if status == 403:
            return NotAuthorized(
                f"LXD at {self.address.normalised} does not allow this to Innkeeper's certificate ({reason}). If the "
                f"certificate is restricted, add this project to it with lxc config trust edit; if it is no longer "
                f"trusted, get a new token with: {HOW_TO_TRUST}"
            )
        if status in _UNAVAILABLE or "missing event connection" in reason.lower():  # of a cluster member
            return HostUnreachable(f"LXD at {self.address.normalised} is not ready: {reason}.")
        if status == 404:
            return NotFound(f"LXD: {reason} ({what}).")
        if status == 409:
            return Conflict(f"LXD: {reason}.")
        if status == 412:
            return PreconditionFailed(f"LXD: {reason}.")
        return _failure(reason)


def _failure(reason: str) -> DriverFailed:
    if "already exists" in reason.lower():
        return Conflict(f"LXD: {reason}.")
    return DriverFailed(f"LXD: {reason}.")


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error

"""LXD's REST API, typed: the one module that knows pylxd. It counts its requests, and its errors are ours.

Of pylxd its raw API is used: the models ask for one thing at a time, and a host has hundreds.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import pylxd
import requests
from pylxd import exceptions
from requests.adapters import HTTPAdapter

from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound, NotTrusted
from common.lxd_address import LxdAddress
from rackd.drivers.lxd.facts import HOW_TO_TRUST
from rackd.drivers.lxd.tls import CONNECT_S, explain_refusal

Json = dict[str, Any]
T = TypeVar("T")

READ_S = 60.0  # a listing of a thousand guests takes LXD a second or two
WORK_S = 600.0  # making a large disk on slow storage
POLL_S = 5.0  # how long LXD is asked to wait for an operation at a time
_UNAVAILABLE = {502, 503, 504}  # LXD starting up, shutting down, or without its cluster's database


class NotAuthorized(NotTrusted):
    """LXD answered 403. Inside the driver this may have another way around; outside it is NotTrusted."""


class Conflict(DriverFailed):
    """LXD has such a thing already."""


class PreconditionFailed(DriverFailed):
    """What was to be changed has changed since it was read."""


def path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


class _PinnedAdapter(HTTPAdapter):
    """One TLS context for all; requests' own errors never leave."""

    def __init__(self, context: ssl.SSLContext, explain: Callable[[Exception], InnkeeperError]) -> None:
        self._context = context
        self._explain = explain
        self.calls = 0
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        # urllib3 would look for the address in the certificate, whatever the context says: the pinned one is right
        # under any address, as a cluster's is, which names none of its members.
        super().init_poolmanager(*args, ssl_context=self._context, assert_hostname=False, **options)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # otherwise requests loads a bundle of its own, or of the environment

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        self.calls += 1
        try:
            return super().send(request, *args, **options)
        except requests.exceptions.RequestException as error:
            raise self._explain(error) from error


class Client:
    """One server. Every method may raise HostUnreachable, PeerChanged, NotTrusted, NotFound or DriverFailed."""

    def __init__(
        self,
        address: LxdAddress,
        context: ssl.SSLContext,
        pinned_pem: str,
        *,
        closing: threading.Event,
        read_s: float = READ_S,
    ) -> None:
        """Contacts nothing yet. `closing` interrupts the wait for an operation; `read_s` is the time for one answer."""
        self._read_s = read_s
        self.address = address
        self.context = context
        self._pinned_pem = pinned_pem
        self._closing = closing
        self._adapter = _PinnedAdapter(context, self.explain)
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, bundle or .netrc of the environment
        self._session.mount("https://", self._adapter)
        self._lxd: Any = None

    def at(self, address: LxdAddress) -> Client:
        """The same server at another of its addresses: a member of its cluster shows the same certificate."""
        return Client(address, self.context, self._pinned_pem, closing=self._closing, read_s=self._read_s)

    @property
    def calls(self) -> int:
        """Requests so far."""
        return self._adapter.calls

    def server(self) -> Json:
        """`/1.0`, which everybody may read: a stranger finds `auth` and the API's extensions there."""
        if self._lxd is None:
            self._lxd = self._call("connecting", self._connect)
            found: Json = self._lxd.host_info
        else:
            found = self.get("")
        return found

    def get(self, where: str, **params: str) -> Any:
        """The `metadata` of what is at `where` below `/1.0/`."""
        return self._request("get", where, params=params).json()["metadata"]

    def find(self, where: str, **params: str) -> Any | None:
        """As `get`, or None when there is no such thing."""
        try:
            return self.get(where, **params)
        except NotFound:
            return None

    def get_with_etag(self, where: str, **params: str) -> tuple[Json, str]:
        answer = self._request("get", where, params=params)
        return answer.json()["metadata"], answer.headers.get("ETag", "")

    def post(self, where: str, body: Mapping[str, Any], *, wait_s: float = WORK_S, **params: str) -> None:
        self._change("post", where, params, wait_s, json=body)

    def put(
        self, where: str, body: Mapping[str, Any], *, wait_s: float = WORK_S, etag: str = "", **params: str
    ) -> None:
        self._change("put", where, params, wait_s, json=body, headers={"If-Match": etag} if etag else {})

    def patch(self, where: str, body: Mapping[str, Any], *, etag: str = "", **params: str) -> None:
        self._change("patch", where, params, WORK_S, json=body, headers={"If-Match": etag} if etag else {})

    def delete(self, where: str, **params: str) -> None:
        self._change("delete", where, params, WORK_S)

    def explain(self, error: Exception) -> InnkeeperError:
        """What is wrong with the line to the server, in our words."""
        cause = _root(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return explain_refusal(self.address, self._pinned_pem, cause.verify_message)
        if isinstance(error, requests.exceptions.Timeout | TimeoutError):
            return HostUnreachable(f"LXD at {self.address.normalised} did not answer in time.")
        return HostUnreachable(f"LXD at {self.address.normalised} cannot be reached: {cause or type(cause).__name__}.")

    def close(self) -> None:
        self._session.close()

    def _connect(self) -> Any:
        endpoint, timeout = self.address.normalised, (CONNECT_S, self._read_s)
        return pylxd.Client(endpoint=endpoint, session=self._session, timeout=timeout)

    def _change(self, method: str, where: str, params: Mapping[str, str], wait_s: float, **options: Any) -> None:
        answer = self._request(method, where, params=params, **options).json()
        if answer.get("type") == "async":
            self.wait(answer["operation"], wait_s)

    def _request(self, method: str, where: str, *, params: Mapping[str, str], **options: Any) -> requests.Response:
        if self._lxd is None:
            self.server()
        node = self._lxd.api[where] if where else self._lxd.api
        ask: Callable[..., requests.Response] = getattr(node, method)
        return self._call(
            f"{method.upper()} /1.0/{where}",
            lambda: ask(params={key: text for key, text in params.items() if text}, **options),
        )

    def wait(self, operation: str, wait_s: float = WORK_S) -> None:
        """Until that operation is done. DriverFailed with LXD's words when it failed.

        HostUnreachable when nobody can tell how it ended.
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
                    f"LXD at {self.address.normalised} forgot what it was doing; it was restarted, perhaps."
                ) from error
            if found["status_code"] >= 200:
                if found["status_code"] != 200:
                    raise _failure(str(found.get("err") or found["status"]))
                return
            if self._closing.is_set():
                raise HostUnreachable("The connection to the host was closed here.")
            if left_s <= 0:
                raise DriverFailed(f"LXD was not done with '{found.get('description')}' after {wait_s:g} s.")

    def _call(self, what: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except exceptions.LXDAPIException as error:
            raise self._translate(error, what) from error
        except (exceptions.ClientConnectionFailed, ValueError, KeyError) as error:
            raise DriverFailed(
                f"What answers at {self.address.normalised} does not speak LXD's language: {what}: {error}."
            ) from error

    def _translate(self, error: Exception, what: str) -> InnkeeperError:
        status, words = error.response.status_code, str(error)  # type: ignore[attr-defined]  # pylxd has no types
        if status == 403:
            return NotAuthorized(
                f"LXD at {self.address.normalised} does not let our certificate do this ({words}). If "
                f"it is not trusted any more: {HOW_TO_TRUST}; if it is restricted, it needs this project."
            )
        if status in _UNAVAILABLE or "missing event connection" in words.lower():  # with a member of the cluster
            return HostUnreachable(f"LXD at {self.address.normalised} is not ready: {words}.")
        if status == 404:
            return NotFound(f"LXD: {words} ({what}).")
        if status == 409:
            return Conflict(f"LXD: {words}.")
        if status == 412:
            return PreconditionFailed(f"LXD: {words}.")
        return _failure(words)


def _failure(words: str) -> DriverFailed:
    if "already exists" in words.lower():
        return Conflict(f"LXD: {words}.")
    return DriverFailed(f"LXD: {words}.")


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error

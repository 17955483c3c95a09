"""A typed client of the REST API of one server of LXD or Incus that counts requests and translates errors.

The only module that imports pylxd. It uses pylxd's raw API with our pinned session: pylxd's models make one request
per object and wait for operations without a limit, and its own session verifies less.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pylxd
import requests
from attrs import field, frozen
from pylxd.exceptions import ClientConnectionFailed, LXDAPIException

from common.addresses.lxd import LxdAddress
from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound
from rackd.drivers.lxd.connection import failures
from rackd.drivers.lxd.connection.dialect import IDENTITIES, LXD, Dialect, dialect_of
from rackd.drivers.lxd.connection.failures import Unfinished
from rackd.drivers.lxd.connection.pinned_http import PinnedAdapter, open_session
from rackd.drivers.lxd.connection.tls import CONNECT_S, connection_error, explain_verification_failure

if TYPE_CHECKING:
    from datetime import datetime

Json = dict[str, Any]

READ_S = 60.0  # a listing of a thousand guests takes LXD one or two seconds
WORK_S = 600.0  # creating a large disk on slow storage
POLL_S = 5.0  # how long one request waits for an operation
MAX_REASON = 500  # characters of a response that is not LXD's
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)  # what reading another JSON raises
_SUCCESS = {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.PARTIAL_CONTENT}


@frozen(kw_only=True)
class Scope:
    """The part of a server that a host is: one project, and in a cluster one member."""

    project: str
    member: str | None = None


def path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


@frozen(kw_only=True)
class FilePart:
    """A part of a file that the server sends. `total_bytes` and `changed_at` are those of the whole file."""

    data: bytes = field(repr=False)
    total_bytes: int
    changed_at: str


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
        dialect: Dialect = LXD,
    ) -> None:
        """Contacts nothing. `closing` interrupts the wait for an operation; `large_body` is held while a large body of
        this server is read; `read_s` limits the time for one response; `dialect` holds until `server` has asked.
        """
        self._read_s = read_s
        self.dialect = dialect
        self._has_identities = False
        self.address = address
        self.context = context
        self._pinned_pem = pinned_pem
        self._closing = closing
        self._large_body = large_body
        self._adapter = PinnedAdapter(address, context, self.explain, large_body)
        self._session = open_session(self._adapter)
        self._pylxd: Any = None  # a pylxd.Client as soon as the server has answered, which pylxd asks for /1.0 first

    def at(self, address: LxdAddress) -> Client:
        """Returns a client of the same server at another address; all members of a cluster present the same
        certificate.
        """
        return Client(
            address, self.context, self._pinned_pem, closing=self._closing, large_body=self._large_body,
            read_s=self._read_s, dialect=self.dialect,
        )  # fmt: skip

    @property
    def place(self) -> str:
        """The product and the address, for messages, such as `LXD at https://lxd1:8443`."""
        return f"{self.dialect.product} at {self.address.normalised}"

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
        if self._pylxd is None:
            found: Json = self._connect((CONNECT_S, self._read_s)).host_info
        else:
            found = self.get("")
        self._learn(found)
        return found

    def get(self, where: str, **params: str) -> Any:
        """Returns the `metadata` of the response for `where` below `/1.0/`."""
        return self._metadata(self.request("get", where, params=params), where)

    def get_within(self, limit_s: float, where: str, **params: str) -> Any:
        """Returns as `get`, but raises HostUnreachable if LXD does not respond within `limit_s`."""
        return self._metadata(self.request("get", where, params=params, timeout=(CONNECT_S, limit_s)), where)

    def beginning_of(self, where: str, **params: str) -> bytes:
        """Returns the first MiB of a file that LXD sends."""
        return self.request("get", where, params=params, stream=True).content

    def part_of(self, where: str, start: int, size: int, **params: str) -> FilePart:
        """Returns up to `size` bytes, at most a few MiB, of a file that the server sends, from `start` on."""
        response = self.request("get", where, params=params, headers={"Range": f"bytes={start}-{start + size - 1}"})
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        if not total.isdecimal() or len(response.content) != min(size, int(total) - start):
            raise DriverFailed(f"{self.place} sent another part of a file than that asked for.")
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
        return self._metadata(response, where), response.headers.get("ETag", "")

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
            return HostUnreachable(f"{self.place} did not respond in time.")
        return HostUnreachable(f"Cannot connect to {self.place}: {connection_error(cause)}.")

    def close(self) -> None:
        self._session.close()

    def _change(self, method: str, where: str, params: Mapping[str, str], wait_s: float, **options: Any) -> None:
        response = self.request(method, where, params=params, **options)
        if self._field(response, "type", where) == "async":
            self.wait(str(self._field(response, "operation", where)), wait_s)

    def request(self, method: str, where: str, *, params: Mapping[str, str], **options: Any) -> requests.Response:
        """Sends one request to `/1.0/where`, and returns the response if it is a success; every call uses it."""
        what = f"{method.upper()} /1.0/{where}"
        options = {"timeout": (CONNECT_S, self._read_s), **options}
        api = (self._pylxd or self._connect(options["timeout"])).api
        if method == "get":
            options["is_api"] = False  # otherwise pylxd parses the body, too
        try:
            response: requests.Response = getattr(api[where] if where else api, method)(
                params={key: text for key, text in params.items() if text}, **options
            )
        except LXDAPIException as error:
            response = error.response  # also of a success that pylxd does not expect here
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
            raise self._unsent(what, error) from error
        if response.status_code not in _SUCCESS:
            raise self._refused(what, response)
        return response

    def _connect(self, timeout_s: tuple[float, float]) -> pylxd.Client:
        """Returns pylxd's client, which has read `/1.0`."""
        what = "GET /1.0/"
        try:
            found = pylxd.Client(endpoint=self.address.normalised, session=self._session, timeout=timeout_s)
            self._learn(found.host_info)
        except LXDAPIException as error:
            if error.response.status_code not in _SUCCESS:
                raise self._refused(what, error.response) from error
            raise self._not_as_expected("", error) from error
        except (requests.exceptions.InvalidSchema, ClientConnectionFailed) as error:
            raise self._unsent(what, error) from error
        except _MALFORMED as error:
            raise self._not_as_expected("", error) from error
        self._pylxd = found
        return found

    def _learn(self, server: Json) -> None:
        self.dialect = dialect_of(server)
        self._has_identities = IDENTITIES in (server.get("api_extensions") or ())

    def _unsent(self, what: str, error: Exception) -> DriverFailed:
        return DriverFailed(f"Cannot send {what} to {self.address.normalised}: {error}.")

    def _refused(self, what: str, response: requests.Response) -> InnkeeperError:
        return failures.of_response(
            response.status_code, _reason(response), self.dialect, server=self.address.normalised, what=what,
            has_identities=self._has_identities,
        )  # fmt: skip

    def _not_as_expected(self, where: str, error: Exception) -> DriverFailed:
        return DriverFailed(
            f"The server at {self.address.normalised} did not respond as {self.dialect.product} does: "
            f"/1.0/{where}: {error!r}."
        )

    def _metadata(self, response: requests.Response, where: str) -> Any:
        return self._field(response, "metadata", where)

    def _field(self, response: requests.Response, name: str, where: str) -> Any:
        try:
            found = response.json()
            if found.get("type") == "error":
                raise failures.of_operation(str(found.get("error") or "no reason given"), self.dialect)
            return found[name]
        except _MALFORMED as error:
            raise self._not_as_expected(where, error) from error

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
                found = self._waited(operation_id, timeout)
            except NotFound as error:
                raise HostUnreachable(
                    f"{self.place} no longer knows the operation; it may have been restarted."
                ) from error
            if found["status_code"] >= 200:
                if found["status_code"] != 200:
                    raise failures.of_operation(str(found.get("err") or found["status"]), self.dialect)
                return
            if self._closing.is_set():
                raise HostUnreachable("This rack closed the connection to the host.")
            if left_s <= 0:
                raise Unfinished(
                    f"{self.dialect.product} did not finish '{found.get('description')}' within {wait_s:g} s."
                )

    def _waited(self, operation_id: str, timeout_s: str) -> Any:
        """Returns the operation, once it has ended or after so many seconds."""
        try:
            return self.get(path("operations", operation_id, "wait"), timeout=timeout_s)
        except NotFound:
            raise
        except DriverFailed:
            # Incus 6.0 answers with an error both for an operation that has failed and for one that goes on.
            found = self.find(path("operations", operation_id))
            if found is None:
                raise
            return found


def _reason(response: requests.Response) -> str:
    """Returns the text of LXD's error, or what a server sent that is not LXD."""
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return response.text[:MAX_REASON] or f"HTTP status {response.status_code}"


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error

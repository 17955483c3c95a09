"""Reads a file by HTTP from a server that is not trusted. Everything here blocks: call it in threads."""

from __future__ import annotations

import http.client
import re
import select
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from attrs import define, field

from regiond.images.download_rules import SCHEMES, DownloadRules, Reach, url_problem

TIMEOUT_S = 30.0  # to connect, and between two pieces of data
MAX_REDIRECTS = 5
READ_BYTES = 256 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)", re.ASCII)


class SourceFailed(Exception):
    """The file cannot be read; the message says why. `is_lasting`: another attempt would end the same way."""

    def __init__(self, message: str, *, is_lasting: bool) -> None:
        super().__init__(message)
        self.is_lasting = is_lasting


@define(kw_only=True)
class HttpFile:
    """The part of a file from `offset`. `whole_bytes` is the size of the whole file, None if it is not stated."""

    offset: int
    whole_bytes: int | None
    _connection: http.client.HTTPConnection
    _response: http.client.HTTPResponse

    def read(self) -> bytes:
        """Returns the next bytes, at most READ_BYTES; empty at the end, also after a cut. Raises SourceFailed."""
        try:
            return self._response.read1(READ_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise SourceFailed(f"The connection was lost: {_reason(error)}.", is_lasting=False) from error

    def close(self) -> None:
        self._response.close()
        self._connection.close()


@define
class HttpSource:
    """Opens files. `abort` ends a transfer from another thread: a read that waits for data then fails.

    `was_public`: the server that the URL names was on the internet before. Its name must then not resolve to an address
    in a private network: the owner of the name could choose what the region requests there.
    """

    rules: DownloadRules
    was_public: bool = False
    timeout_s: float = TIMEOUT_S
    resolve: Callable[..., Sequence[Any]] = socket.getaddrinfo
    _socket: socket.socket | None = field(default=None, init=False)
    _is_aborted: bool = field(default=False, init=False)

    def open(self, url: str, *, offset: int = 0, schemes: tuple[str, ...] = SCHEMES) -> HttpFile:
        """Returns the file from `offset`, or from 0 if the server cannot continue it. Follows redirects.

        Raises SourceFailed.
        """
        redirected_from: Reach | None = None
        for _ in range(MAX_REDIRECTS + 1):
            problem = url_problem(url, schemes=schemes)
            if problem is not None:
                raise SourceFailed(f"The server refers to an address that is not used. {problem}", is_lasting=True)
            connection, response = self._request(url, offset, redirected_from)
            if response.status not in _REDIRECTS:
                return _file(connection, response, offset)
            target = response.getheader("Location")
            redirected_from = connection.reach
            connection.close()
            if not target:
                raise SourceFailed("The server redirects to no address.", is_lasting=True)
            url = urljoin(url, target)
        raise SourceFailed(f"The server redirects more than {MAX_REDIRECTS} times.", is_lasting=True)

    def abort(self) -> None:
        """Ends the transfer, at any time and from any thread. No file can be opened afterwards."""
        self._is_aborted = True
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not TLS's: another thread may be reading

    def has_data(self, timeout_s: float) -> bool:
        """Returns whether more data, or the end, arrives within this time."""
        used = self._socket
        if used is None or used.fileno() < 0 or (isinstance(used, ssl.SSLSocket) and used.pending()):
            return True
        poll = select.poll()
        poll.register(used, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def _request(
        self, url: str, offset: int, redirected_from: Reach | None
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        connection = _Connection(host, parts.port or (443 if parts.scheme == "https" else 80), self, redirected_from)
        if parts.scheme == "https":
            connection.is_tls, connection.default_port = True, 443
        headers = {"User-Agent": "Innkeeper", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            connection.request("GET", urlunsplit(("", "", parts.path or "/", parts.query, "")), headers=headers)
            return connection, connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise SourceFailed(
                f"The certificate of {host} is not valid: {error.verify_message}.", is_lasting=True
            ) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SourceFailed(f"Cannot read from {host}: {_reason(error)}.", is_lasting=False) from error
        except BaseException:
            connection.close()
            raise

    def connect(self, host: str, port: int, redirected_from: Reach | None) -> tuple[socket.socket, Reach]:
        """Connects to an address of the host that the rules permit, the very address that was checked. Raises OSError.

        There is one lookup for each connection. If the next lookup finds another address, `was_public` may forbid it.
        """
        chosen_by = Reach.PUBLIC if redirected_from is None and self.was_public else redirected_from
        found = self.resolve(host, port, type=socket.SOCK_STREAM)
        addresses = [
            (family, address)
            for family, _, _, _, address in found
            if self.rules.permits(str(address[0]), chosen_by=chosen_by)
        ]
        if not addresses:
            address = str(found[0][4][0])
            reason = _refusal(host, address, self.rules.reach(address), is_named=redirected_from is None)
            raise SourceFailed(reason, is_lasting=True)
        for number, (family, address) in enumerate(addresses, start=1):
            made = socket.socket(family, socket.SOCK_STREAM)
            try:
                made.settimeout(self.timeout_s)
                made.connect(address)
            except OSError:
                made.close()
                if number == len(addresses):
                    raise
            else:
                reach = self.rules.reach(str(address[0]))
                self.was_public |= redirected_from is None and reach is Reach.PUBLIC
                return made, reach
        raise AssertionError("the last address returns or raises")

    def guard(self, used: socket.socket) -> None:
        """Remembers the connection, so that it can be aborted. Raises OSError after `abort`."""
        self._socket = used
        if self._is_aborted:
            raise OSError("aborted")


class _Connection(http.client.HTTPConnection):
    """A connection to a checked address. `is_tls`: verifies the certificate by this computer's authorities."""

    is_tls = False
    reach: Reach | None = None  # of the address to which it connected

    def __init__(self, host: str, port: int, source: HttpSource, redirected_from: Reach | None) -> None:
        super().__init__(host, port)
        self._source = source
        self._redirected_from = redirected_from

    def connect(self) -> None:
        self.sock: Any
        self.sock, self.reach = self._source.connect(self.host, self.port, self._redirected_from)
        self._source.guard(self.sock)
        if self.is_tls:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
            self._source.guard(self.sock)


def _refusal(host: str, address: str, reach: Reach, *, is_named: bool) -> str:
    if reach is Reach.NOWHERE:
        return (
            f"{host} is this computer, of its local link or a cloud's service ({address}), from which the region "
            "downloads nothing (setting image_download_networks)."
        )
    if is_named:
        return (
            f"{host} was a server of the internet before, and now is in a private network ({address}). Add the image "
            "again to download it from there, or permit that network (setting image_download_networks)."
        )
    return (
        f"A server of the internet redirects to {host} ({address}), which is in a private network. Name that address "
        "itself, or permit its network (setting image_download_networks)."
    )


def _file(connection: http.client.HTTPConnection, response: http.client.HTTPResponse, offset: int) -> HttpFile:
    """Returns the file of a response. Raises SourceFailed for a response without content."""
    if response.status == http.client.OK:
        return HttpFile(offset=0, whole_bytes=response.length, connection=connection, response=response)
    if response.status == http.client.PARTIAL_CONTENT:
        found = _RANGE.fullmatch(response.getheader("Content-Range") or "")
        if found is not None and int(found[1]) == offset:
            whole = None if found[2] == "*" else int(found[2])
            return HttpFile(offset=offset, whole_bytes=whole, connection=connection, response=response)
    connection.close()
    if response.status in {http.client.REQUESTED_RANGE_NOT_SATISFIABLE, http.client.PARTIAL_CONTENT}:
        raise RangeRefused
    reason = f"The server answers {response.status} {response.reason[:100]}."
    raise SourceFailed(reason, is_lasting=response.status not in _RETRYABLE)


class RangeRefused(Exception):
    """The server cannot continue the file at this place, for example because the file has become shorter."""


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:200].rstrip(".")

"""The destination of the audit trail, and the form of an entry there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from attrs import evolve, field, frozen

from common.errors import BadSettings
from regiond.audit.model import RawEntry

MAX_DATAGRAM_BYTES = 60_000  # UDP and Unix sockets reject a longer message
_PRIORITY = 13 * 8 + 5  # facility: log audit; severity: notice
_EXAMPLES = "syslog+tcp://logs.example.net:601, syslog+tls://, syslog+udp://, syslog+unix:///run/syslog or https://"


class Transport(StrEnum):
    TCP = "syslog+tcp"
    TLS = "syslog+tls"
    UDP = "syslog+udp"
    UNIX = "syslog+unix"
    HTTP = "http"
    HTTPS = "https"


_PORTS = {Transport.TCP: 601, Transport.TLS: 6514, Transport.UDP: 514}
_DATAGRAMS = frozenset({Transport.UDP, Transport.UNIX})
_WEB = frozenset({Transport.HTTP, Transport.HTTPS})


@frozen(kw_only=True)
class Destination:
    """`host` and `port` are of a syslog server, `path` is of a socket. The URL of a web server may have a secret."""

    url: str = field(repr=False)
    transport: Transport
    host: str = ""
    port: int = 0
    path: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Returns what stands for the URL in the database and the log: a web server's path and query are hidden."""
        if self.transport not in _WEB:
            return self.url
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:12]
        return f"{self.transport}://{urlsplit(self.url).netloc}/… ({digest})"

    @property
    def max_bytes(self) -> int | None:
        """The longest message; None if any length is possible."""
        return MAX_DATAGRAM_BYTES if self.transport in _DATAGRAMS else None


def parse_destination(url: str) -> Destination:
    """Raises BadSettings for a URL of another form."""
    try:
        parts = urlsplit(url)
        transport, port = Transport(parts.scheme), parts.port
    except ValueError:
        raise BadSettings(f"audit_export has another form than {_EXAMPLES}.") from None
    if "@" in parts.netloc:
        raise BadSettings("audit_export must not contain a password: write it into the file audit_export_header.")
    if not _is_complete(transport, parts):
        raise BadSettings(f"audit_export has another form than {_EXAMPLES}.")
    return Destination(
        url=url, transport=transport, host=parts.hostname or "", port=port or _PORTS.get(transport, 0), path=parts.path
    )


def _is_complete(transport: Transport, parts: SplitResult) -> bool:
    if transport is Transport.UNIX:
        return parts.netloc == "" and parts.path.startswith("/") and not parts.query and not parts.fragment
    if transport in _WEB:
        return bool(parts.hostname) and not parts.fragment
    return bool(parts.hostname) and parts.path in {"", "/"} and not parts.query and not parts.fragment


def json_line(entry: RawEntry) -> str:
    """Returns the entry as `innkeeper region audit export` does, so that its hash can be verified."""
    return json.dumps(
        {
            "id": entry.id,
            "at": _time(entry),
            "content": entry.content,
            "previous_hash": entry.previous_hash.hex(),
            "hash": entry.hash.hex(),
            "redacted_by": entry.redacted_by,
        }
    )


def json_lines(entries: Sequence[RawEntry]) -> bytes:
    return "".join(f"{json_line(entry)}\n" for entry in entries).encode()


def syslog_message(entry: RawEntry, *, hostname: str, max_bytes: int | None = None) -> bytes:
    """Returns a message of RFC 5424 with the JSON of the entry.

    In one that would be longer than `max_bytes`, `content` is empty; the hash still belongs to the whole.
    """
    header = f"<{_PRIORITY}>1 {_time(entry)} {hostname} innkeeper - audit - "
    message = (header + json_line(entry)).encode()
    if max_bytes is not None and len(message) > max_bytes:
        return (header + json_line(evolve(entry, content=""))).encode()
    return message


def _time(entry: RawEntry) -> str:
    return entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

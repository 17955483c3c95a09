"""The identity of a link's peer, and addresses of regions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from attrs import frozen

from common.addresses.host_names import bracketed
from common.errors import InvalidRequest
from common.rpc.session import LONGEST_IDLE_TIMEOUT_S, SHORTEST_IDLE_TIMEOUT_S
from common.trust.certificates import Role


@frozen(kw_only=True)
class Peer:
    """From the peer's certificate. An anonymous peer has no id and no fingerprint; it chose its name itself."""

    role: Role
    name: str
    fingerprint: str = ""
    id: str = ""
    expires_at: datetime | None = None  # of its certificate

    def __str__(self) -> str:
        return f"{self.role} {self.name or self.id}"


@frozen(kw_only=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """`host:port`, an IPv6 address in brackets. Raises InvalidRequest."""
        host, colon, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if bracketed else host
        if not colon or not host or (":" in host) != bracketed or not (port.isascii() and port.isdigit()):
            raise InvalidRequest(f"{text!r} is not an address like region.example:5250 or [2001:db8::1]:5250")
        if not 1 <= int(port) <= 65535:
            raise InvalidRequest(f"{text!r}: the port must be 1 to 65535")
        return cls(host=host, port=int(port))


_RELEASE = "release:"
_IDLE_TIMEOUT = "idle-timeout:"


def release_capability(release: str) -> str:
    """Returns the capability by which a peer reports its release in its hello."""
    return f"{_RELEASE}{release}"


def release_of(capabilities: Iterable[str]) -> str | None:
    """Returns the release that the peer reported; None if it reported none."""
    return next((one.removeprefix(_RELEASE)[:100] for one in sorted(capabilities) if one.startswith(_RELEASE)), None)


def idle_timeout_capability(idle_timeout_s: float) -> str:
    """Returns the capability by which a peer reports after how many seconds without data it ends a link."""
    return f"{_IDLE_TIMEOUT}{idle_timeout_s:g}"


def idle_timeout_of(capabilities: Iterable[str]) -> float | None:
    """Returns the seconds that the peer reported, at most those that a setting permits.

    None if it reported none, or less than a setting permits.
    """
    text = next((one.removeprefix(_IDLE_TIMEOUT) for one in sorted(capabilities) if one.startswith(_IDLE_TIMEOUT)), "")
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(seconds, LONGEST_IDLE_TIMEOUT_S) if seconds >= SHORTEST_IDLE_TIMEOUT_S else None

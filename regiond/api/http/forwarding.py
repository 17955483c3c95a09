"""Who sent a request and to which URL, as trusted proxies report it in their headers. Pure.

A proxy passes on headers that it does not know: a client behind one that sets `X-Forwarded-For` can send `Forwarded`,
and the other way round. So only one of the two is read, by a setting.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import islice

from attrs import evolve, frozen

from common.addresses.ip_networks import LOOPBACK, IpNetworks, is_ip

MAX_HOPS = 20
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?", re.ASCII)
# One parameter of `Forwarded` and what ends it. Each match consumes what it reads, so a header takes linear time.
_PARAMETER = re.compile(r'[ \t]*+(?:([A-Za-z]++)=(?:"([^"\\]*+)"|([^\s";,]++)))?[ \t]*+([;,]|\Z)', re.ASCII)

Headers = Callable[[str], Sequence[str]]  # the lines of a header, in their order


class ProxyHeaders(StrEnum):
    X_FORWARDED = "x-forwarded"
    FORWARDED = "forwarded"


@frozen(kw_only=True)
class Sender:
    """The client's IP address, and scheme and host (with port) of the URL that it used."""

    address: str
    scheme: str
    host: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"


@frozen(kw_only=True)
class _Hop:
    """The report of one proxy about its peer; None where it says nothing that can be used."""

    address: str | None
    scheme: str | None = None
    host: str | None = None


@frozen(kw_only=True)
class TrustedProxies:
    """The peers that are believed, and the headers in which."""

    networks: IpNetworks = LOOPBACK
    headers: ProxyHeaders = ProxyHeaders.X_FORWARDED

    def sender(self, peer: Sender, headers: Headers) -> Sender:
        """`peer` itself, unless it is a trusted proxy: then whom the headers name, the last of several first.

        A proxy in front of a proxy is believed if it is trusted too. A header that is not valid names nobody.
        """
        if peer.address not in self.networks:
            return peer
        read = _x_forwarded if self.headers is ProxyHeaders.X_FORWARDED else _forwarded
        found = peer
        for hop in islice(reversed(read(headers)), MAX_HOPS):
            found = evolve(
                found,
                address=hop.address or found.address,
                scheme=hop.scheme or found.scheme,
                host=hop.host or found.host,
            )
            if hop.address is None or hop.address not in self.networks:
                break
        return found


def is_host(text: str) -> bool:
    """Whether it is a host name or an IP address, with or without a port, as in the header `Host`."""
    return _HOST.fullmatch(text) is not None


def _x_forwarded(headers: Headers) -> list[_Hop]:
    """Scheme and host are those that the nearest proxy reports: it knows no others for the proxies before it."""
    scheme, host = _last(headers("X-Forwarded-Proto")), _last(headers("X-Forwarded-Host"))
    addresses = ",".join(headers("X-Forwarded-For")).rsplit(",", MAX_HOPS)
    hops = [_Hop(address=_address(each)) for each in addresses]
    hops[-1] = evolve(hops[-1], scheme=_scheme(scheme), host=host if is_host(host) else None)
    return hops


def _forwarded(headers: Headers) -> list[_Hop]:
    text = ",".join(headers("Forwarded"))
    elements: deque[dict[str, str]] = deque(maxlen=MAX_HOPS)  # a client can send thousands before those of the proxies
    parameters: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is None:
            return []  # a client could hide what the proxy appended in an open quotation
        if found[1]:
            parameters[found[1].lower()] = found[2] or found[3] or ""
        if found[4] != ";":
            elements.append(parameters)
            parameters = {}
        at = found.end()
    return [_hop(each) for each in elements]


def _hop(parameters: Mapping[str, str]) -> _Hop:
    host = parameters.get("host", "")
    return _Hop(
        address=_address(parameters.get("for", "")),
        scheme=_scheme(parameters.get("proto", "")),
        host=host if is_host(host) else None,
    )


def _last(lines: Sequence[str]) -> str:
    return lines[-1].rpartition(",")[2].strip() if lines else ""


def _scheme(text: str) -> str | None:
    lowered = text.lower()
    return lowered if lowered in {"http", "https"} else None


def _address(text: str) -> str | None:
    """An IP address without its port and brackets; None for `unknown` and names."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return text if is_ip(text) and "%" not in text else None  # a zone after "%" can be any text

"""Connects to a name or an address."""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint


def tcp_endpoint(reactor: Any, host: str, port: int, *, connect_s: float) -> Any:
    """Twisted's client endpoint. Its own for names asks the resolver about an address, too, in a thread."""
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout=connect_s)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout=connect_s)
    return HostnameEndpoint(reactor, host, port, timeout=connect_s)

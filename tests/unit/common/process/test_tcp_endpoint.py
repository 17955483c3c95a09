"""A connection to an address needs no resolver."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from common.process.tcp_endpoint import tcp_endpoint


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "fe80::7%eth0"])
def test_an_address_is_connected_at_once(address: str) -> None:
    reactor: Any = MemoryReactorClock()
    tcp_endpoint(reactor, address, 5240, connect_s=3.0).connect(Factory())
    ((host, port, _, timeout, _),) = reactor.tcpClients
    assert (host, port, timeout) == (address, 5240, 3.0)


@pytest.mark.parametrize("name", ["region.example", "localhost", "1.2.3", "192.0.2.7.example"])
def test_a_name_is_resolved(name: str) -> None:
    assert isinstance(tcp_endpoint(MemoryReactorClock(), name, 5240, connect_s=3.0), HostnameEndpoint)

"""The faults of a wire, seen by plain sockets: what the other tests of this folder build on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from tests.faults.network.namespaces import namespaces
from tests.faults.network.wire import Fault, Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    with namespaces("one", "other") as (one, other):
        yield Wire.between(one, other, IPv4Network("10.77.0.0/30"))


@pytest.fixture
def listening(wire: Wire) -> Iterator[socket.socket]:
    with wire.server.namespace.entered(), socket.create_server((str(wire.server.address), 1000)) as listener:
        listener.settimeout(5)
        yield listener


def connect(wire: Wire, listening: socket.socket) -> tuple[socket.socket, socket.socket]:
    with wire.client.namespace.entered():
        client = socket.create_connection((str(wire.server.address), 1000), timeout=5)
    server, _ = listening.accept()
    server.settimeout(0.3)
    client.settimeout(0.3)
    return client, server


def sent(one: socket.socket, other: socket.socket) -> str:
    """What becomes of a byte that one end sends."""
    one.send(b"x")
    try:
        return "arrived" if other.recv(1) == b"x" else "closed"
    except TimeoutError:
        return "lost"
    except ConnectionError:
        return "reset"


@pytest.mark.parametrize(
    ("fault", "asked", "answered"),
    [
        (Fault.BLACK_HOLE, "lost", "lost"),
        (Fault.DEAF_CLIENT, "arrived", "lost"),
        (Fault.DEAF_SERVER, "lost", "arrived"),
    ],
)
def test_packets_are_lost_in_the_directions_of_the_fault(
    wire: Wire, listening: socket.socket, fault: Fault, asked: str, answered: str
) -> None:
    client, server = connect(wire, listening)
    with client, server:
        with wire.faulty(fault):
            assert sent(client, server) == asked
            assert sent(server, client) == answered
        for lost, reader in ((asked, server), (answered, client)):
            reader.settimeout(5)
            if lost == "lost":
                assert reader.recv(1) == b"x"  # TCP sends it again


def test_a_cut_wire_resets_what_is_open_and_rejects_what_is_new(wire: Wire, listening: socket.socket) -> None:
    client, server = connect(wire, listening)
    with client, server, wire.faulty(Fault.CUT):
        with pytest.raises(ConnectionError):
            client.send(b"x") and client.recv(1)
        with pytest.raises(ConnectionError):
            server.send(b"x") and server.recv(1)
        with wire.client.namespace.entered(), pytest.raises(ConnectionRefusedError):
            socket.create_connection((str(wire.server.address), 1000), timeout=5)


def test_a_delayed_wire_takes_longer_in_both_directions(wire: Wire, listening: socket.socket) -> None:
    client, server = connect(wire, listening)
    with client, server:
        client.settimeout(5)
        server.settimeout(5)
        with wire.faulty(Fault.DELAY):
            started = time.monotonic()
            assert sent(client, server) == sent(server, client) == "arrived"
            assert time.monotonic() - started >= 2 * wire.delay_s
        assert sent(client, server) == "arrived"

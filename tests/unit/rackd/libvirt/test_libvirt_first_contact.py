"""A host that answers nothing is unreachable within the deadline; libvirt is left to find every other problem."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from common.addresses.libvirt import parse
from common.errors import HostUnreachable
from rackd.drivers.libvirt.connection.first_contact import require_answer

NAMED = parse("qemu+ssh://root@kvm.example.net/system")


@contextmanager
def deaf_port() -> Iterator[tuple[str, int]]:
    """Linux drops what exceeds the queue of a listener, as a dead network does."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()


def resolved_to(*targets: tuple[str, int]) -> Callable[..., list[Any]]:
    return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 0, "", target) for target in targets]


def test_a_host_that_answers_nothing_is_unreachable() -> None:
    with deaf_port() as (host, port), pytest.raises(HostUnreachable) as raised:
        require_answer(parse(f"qemu+ssh://root@{host}:{port}/system"), within_s=0.2)
    assert str(raised.value) == f"Cannot connect to 127.0.0.1:{port}: no answer within 0.2 s."


@pytest.mark.parametrize("first", ["deaf", "closed"])
def test_a_name_with_a_closed_and_a_silent_address_is_unreachable(first: str) -> None:
    """As of a computer that has no IPv6, on whose network IPv4 is dropped."""
    with deaf_port() as deaf:
        targets = [deaf, ("127.0.0.1", 1)] if first == "deaf" else [("127.0.0.1", 1), deaf]
        with pytest.raises(HostUnreachable, match=r"no answer within 0\.3 s"):
            require_answer(NAMED, within_s=0.3, resolve=resolved_to(*targets))


def test_a_name_that_no_server_resolves_is_unreachable() -> None:
    answered = threading.Event()

    def resolve(*_: Any, **__: Any) -> list[Any]:
        answered.wait(60.0)
        return []

    with pytest.raises(
        HostUnreachable, match=r"^Cannot connect to kvm\.example\.net:22: .* not resolved within 0\.2 s"
    ):
        require_answer(NAMED, within_s=0.2, resolve=resolve)
    answered.set()


def test_all_addresses_of_a_name_have_the_deadline_together() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, deaf_port() as deaf:
        require_answer(NAMED, within_s=1.0, resolve=resolved_to(deaf, deaf, server.getsockname()))
        server.settimeout(0.0)
        server.accept()[0].close()


@pytest.mark.parametrize("address", ["qemu:///system", "test:///default", "qemu+tls://127.0.0.1:1/system"])
def test_local_hosts_and_closed_ports_are_for_libvirt(address: str) -> None:
    require_answer(parse(address), within_s=60.0)

"""A host that answers nothing is unreachable within the deadline; libvirt is left to find every other problem."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from common.addresses.libvirt import parse
from common.errors import HostUnreachable
from rackd.drivers.libvirt.connection.first_contact import require_answer


def test_a_host_that_answers_nothing_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        # Linux drops what exceeds the queue of a listener, as a dead network does.
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with pytest.raises(HostUnreachable, match=rf"^Cannot connect to 127\.0\.0\.1:{port}: no answer within 0\.2 s"):
            require_answer(parse(f"qemu+ssh://root@127.0.0.1:{port}/system"), within_s=0.2)
        for one in waiting:
            one.close()


def test_a_name_that_no_server_resolves_is_unreachable() -> None:
    answered = threading.Event()

    def resolve(*_: Any, **__: Any) -> list[Any]:
        answered.wait(60.0)
        return []

    address = parse("qemu+ssh://root@kvm.example.net/system")
    with pytest.raises(
        HostUnreachable, match=r"^Cannot connect to kvm\.example\.net:22: .* not resolved within 0\.2 s"
    ):
        require_answer(address, within_s=0.2, resolve=resolve)
    answered.set()


def test_all_addresses_of_a_name_have_the_deadline_together() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())

        def resolve(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", one.getsockname()) for one in (deaf, deaf, server)]

        require_answer(parse("qemu+ssh://root@kvm.example.net/system"), within_s=0.3, resolve=resolve)
        server.settimeout(0.0)
        server.accept()[0].close()
        for one in waiting:
            one.close()


@pytest.mark.parametrize("address", ["qemu:///system", "test:///default", "qemu+tls://127.0.0.1:1/system"])
def test_local_hosts_and_closed_ports_are_for_libvirt(address: str) -> None:
    require_answer(parse(address), within_s=0.2)

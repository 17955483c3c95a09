"""Screens of several guests are opened beside each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from common.errors import DriverFailed, HostUnreachable
from common.values import GuestRef, OwnershipMarker
from rackd.drivers.lxd.connection.dialect import INCUS
from rackd.drivers.lxd.guests.consoles.screens import Screens
from rackd.drivers.lxd.guests.instances import Instances

MARKER = OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2))


def instances_of(request: Callable[[str], Any]) -> Instances:
    """Instances that run, of a server that answers the request for a console so."""
    client = SimpleNamespace(request=lambda _method, where, **_options: request(where), place="Incus at https://h:1")
    return cast(
        "Instances",
        SimpleNamespace(
            of_machine=lambda guest: {"name": guest.name, "status": "Running"}, client=client,
            scope=SimpleNamespace(project="default"), capabilities=SimpleNamespace(dialect=INCUS),
        ),
    )  # fmt: skip


def test_a_screen_that_hangs_does_not_delay_that_of_another_guest() -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def request(where: str) -> Any:
        if "slow" in where:
            hangs.set()
            assert goes_on.wait(60.0)
        raise DriverFailed(f"answered for {where}")

    screens, instances, failures = Screens(), instances_of(request), []

    def open_slow() -> None:
        try:
            screens.open(instances, GuestRef(name="slow", marker=MARKER))
        except (DriverFailed, HostUnreachable) as error:
            failures.append(str(error))

    slow = threading.Thread(target=open_slow)
    slow.start()
    assert hangs.wait(60.0)
    try:
        with pytest.raises(DriverFailed, match="answered for instances/quick"):
            screens.open(instances, GuestRef(name="quick", marker=MARKER))
        assert failures == []
    finally:
        goes_on.set()
        slow.join(60.0)
    assert failures == ["answered for instances/slow/console"]

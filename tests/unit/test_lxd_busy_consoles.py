"""What a console or a screen that Incus lets nobody else open says about the one that is open."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from common.errors import Busy, DriverFailed, HostUnreachable, NotTrusted
from common.values import GuestRef, OwnershipMarker
from rackd.drivers.lxd.connection.dialect import INCUS
from rackd.drivers.lxd.guests import console
from rackd.drivers.lxd.guests.console import open_console
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.screens import Screens

GUEST = GuestRef(name="web", marker=OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2)))


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_RETRY_S", 0.0)


def open_screen(instances: Instances, guest: GuestRef) -> object:
    return Screens().open(instances, guest)


BOTH = pytest.mark.parametrize("opening", [open_console, open_screen])


def taken(operations: Callable[[], Any]) -> Instances:
    """Instances whose consoles are taken, of a server that answers the question for its operations so."""

    def refuse(*_: object, **__: object) -> Any:
        raise DriverFailed("Incus: This console is already connected.")

    client = SimpleNamespace(
        request=refuse, get=lambda *_, **__: operations(), place="Incus at https://h:1", dialect=INCUS
    )
    return cast(
        "Instances",
        SimpleNamespace(
            of_machine=lambda guest: {"name": guest.name, "status": "Running"}, client=client,
            scope=SimpleNamespace(project="default"), capabilities=SimpleNamespace(dialect=INCUS), product="Incus",
        ),
    )  # fmt: skip


def said(opening: Callable[[Instances, GuestRef], object], operations: Callable[[], Any]) -> str:
    with pytest.raises(Busy) as busy:
        opening(taken(operations), GUEST)
    return str(busy.value)


@BOTH
@pytest.mark.parametrize("error", [NotTrusted("restricted"), HostUnreachable("gone"), DriverFailed("strange")])
def test_a_question_that_fails_does_not_replace_the_answer(
    opening: Callable[[Instances, GuestRef], object], error: Exception
) -> None:
    def fail() -> Any:
        raise error

    assert said(opening, fail).endswith("or try again.")

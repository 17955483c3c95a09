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
from rackd.drivers.lxd.guests.consoles import console
from rackd.drivers.lxd.guests.consoles.console import open_console
from rackd.drivers.lxd.guests.consoles.screens import Screens
from rackd.drivers.lxd.guests.instances import Instances

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


def left(operation_id: str, created_at: str | None) -> dict[str, Any]:
    """An open console, as the server lists it."""
    return {
        "id": operation_id, "class": "websocket", "description": "Showing console", "created_at": created_at,
        "resources": {"instances": ["/1.0/instances/web"]},
    }  # fmt: skip


@BOTH
@pytest.mark.parametrize("error", [NotTrusted("restricted"), HostUnreachable("gone"), DriverFailed("strange")])
def test_a_question_that_fails_does_not_replace_the_answer(
    opening: Callable[[Instances, GuestRef], object], error: Exception
) -> None:
    def fail() -> Any:
        raise error

    assert said(opening, fail).endswith("or try again.")


@BOTH
@pytest.mark.parametrize(
    ("created_at", "since"),
    [
        ("2026-11-27T01:30:00.123456789+02:00", " It is open since 2026-11-26T23:30:00 (UTC)."),
        ("2026-11-27T01:30:00Z", " It is open since 2026-11-27T01:30:00 (UTC)."),
        ("2026-11-27T01:30:00", ""),
        ("yesterday", ""),
        (None, ""),
    ],
)
def test_the_time_since_when_a_console_is_open_is_in_utc(
    opening: Callable[[Instances, GuestRef], object], created_at: str | None, since: str
) -> None:
    text = said(opening, lambda: {"running": [left("ab-12", created_at)]})
    advice = "If nobody uses it, as after a rack that was killed, end it with: incus operation delete ab-12"
    assert text.endswith(f"or try again.{since} {advice}")


@BOTH
def test_each_console_that_is_open_is_ended_whatever_became_of_the_others(
    opening: Callable[[Instances, GuestRef], object],
) -> None:
    text = said(opening, lambda: {"running": [left("ab-12", None), left("cd-34", None)]})
    assert text.endswith("end it with: incus operation delete ab-12; incus operation delete cd-34")

"""Consoles through a region and a rack to a simulated guest: typing, limits, rights, and how each end is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from attrs import evolve

from innkeeper.websocket import WebSocket
from regiond.api.http import running_requests
from regiond.api.http.websocket import serve
from regiond.machines.running.console.limits import ConsoleLimits
from regiond.machines.running.console.service import Consoles
from regiond.machines.values.states import MachineState
from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_deployments import composed, database
from tests.integration.machines.test_ownership_matrix import becomes
from tests.integration.support.two_pools import NATIVE, Role, two_pools
from tests.integration.support.users import as_user, own
from tests.postgresql.database import execute
from tests.support.rejections import rejection
from tests.support.waiting import eventually

DEADLINE_S = 60.0


async def running(innkeeper: Deployment) -> str:
    system_id = await composed(innkeeper)
    await innkeeper.post(f"machines/{system_id}/", op="power_on")
    return system_id


@asynccontextmanager
async def console(innkeeper: Deployment, system_id: str) -> AsyncIterator[WebSocket]:
    socket = await innkeeper.api.websocket(f"machines/{system_id}/", op="console")
    try:
        yield socket
    finally:
        socket.close()


async def shown(socket: WebSocket, wanted: bytes) -> None:
    """Returns once the console has shown it."""
    found = b""
    async with asyncio.timeout(DEADLINE_S):
        while wanted not in found:
            message = await socket.receive()
            assert isinstance(message, bytes), f"it ended with {message!r} after {found!r}"
            found += message


async def ended(socket: WebSocket) -> str:
    """Returns the reason."""
    async with asyncio.timeout(DEADLINE_S):
        while isinstance(message := await socket.receive(), bytes):
            pass
    assert message is not None
    return str(json.loads(message)["ended"])


def websockets() -> list[asyncio.Task[Any]]:
    """Returns the tasks of those that the region serves."""
    return [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "cr_code", None) is serve.__code__]


async def event_messages(innkeeper: Deployment) -> list[str]:
    answer = await innkeeper.get("events/?op=query")
    return [event["description"] for event in answer["events"] if "console" in event["description"].lower()]


@pytest.mark.slow
async def test_what_is_typed_is_echoed_and_recorded(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    async with console(innkeeper, system_id) as socket:
        await shown(socket, b"vm$ ")
        socket.send(b"hello\r")
        await shown(socket, b"hello\r\nhello\r\nvm$ ")
        socket.send(b"exit\r")
        assert await ended(socket) == "The virtual machine has ended the console."
    opened, closed = "The console of vm was opened", "The console of vm was closed: The virtual machine has ended the"
    await eventually(lambda: _has_events(innkeeper, opened, closed))
    audited = await innkeeper.get("audit/")
    assert any(entry["action"].endswith("console") for entry in audited), audited


async def _has_events(innkeeper: Deployment, *texts: str) -> bool:
    found = await event_messages(innkeeper)
    return all(any(text in one for one in found) for text in texts)


async def test_long_input_and_output_arrive_whole(innkeeper: Deployment) -> None:
    async with console(innkeeper, await running(innkeeper)) as socket:
        await shown(socket, b"vm$ ")
        line = b"x" * 50_000
        socket.send(line + b"\r")
        await shown(socket, line + b"\r\n" + line)


@pytest.mark.slow
async def test_closing_the_terminal_ends_the_console(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    async with console(innkeeper, system_id) as socket:
        await shown(socket, b"vm$ ")
    await eventually(lambda: _has_events(innkeeper, "The console of vm was closed"))


@pytest.mark.slow
async def test_a_vm_that_is_switched_off_ends_its_console(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    async with console(innkeeper, system_id) as socket:
        await shown(socket, b"vm$ ")
        await innkeeper.post(f"machines/{system_id}/", op="power_off", stop_mode="hard")
        assert await ended(socket) == "The virtual machine has ended the console."
        assert await socket.receive() is None


async def test_a_vm_that_is_off_says_so(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    async with console(innkeeper, system_id) as socket:
        assert "is off" in await ended(socket)


async def test_only_the_owner_opens_the_console(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    ann = await as_user(innkeeper, "ann")
    refused = await rejection(ann.api.websocket(f"machines/{system_id}/", op="console"))
    assert refused.details["status"] == 403
    await own(innkeeper, system_id, "ann")
    async with console(evolve(innkeeper, other_account=ann.other_account), system_id) as socket:
        await shown(socket, b"vm$ ")


async def test_a_request_without_a_websocket_is_told(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    refused = await rejection(innkeeper.get(f"machines/{system_id}/", op="console"))
    assert refused.details["status"] == 400


def limit(innkeeper: Deployment, limits: ConsoleLimits) -> None:
    """The consoles of the region have these limits from now on."""
    consoles = innkeeper.region.components.services.consoles
    assert isinstance(consoles, Consoles)
    consoles.limit(limits)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ConsoleLimits(idle_s=0.0, check_every_s=0.1), "Nothing was typed for 0 minutes"),
        (ConsoleLimits(longest_s=0.0, check_every_s=0.1), "was open for 0 hours"),
    ],
)
async def test_a_console_that_is_left_open_ends(innkeeper: Deployment, limits: ConsoleLimits, reason: str) -> None:
    system_id = await running(innkeeper)
    limit(innkeeper, limits)
    async with console(innkeeper, system_id) as socket:
        assert reason in await ended(socket)


@pytest.mark.slow
async def test_a_user_has_so_many_consoles(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    limit(innkeeper, ConsoleLimits(per_account=1))
    async with console(innkeeper, system_id) as first:
        await shown(first, b"vm$ ")
        async with console(innkeeper, system_id) as second:
            assert "You have 1 console open" in await ended(second)
    await eventually(lambda: _has_events(innkeeper, "The console of vm was closed"))
    async with console(innkeeper, system_id) as third:
        await shown(third, b"vm$ ")


async def test_who_loses_the_role_loses_the_console(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, system_id, "ann")
    limit(innkeeper, ConsoleLimits(check_every_s=0.1))
    async with console(ann, system_id) as socket:
        await shown(socket, b"vm$ ")
        await execute(database(innkeeper), "update pool_grant set role = 'viewer'")
        assert await ended(socket) == "You may not see this console any more."


@pytest.mark.parametrize("whose", ["olga's", "in use, made by olga", "in use, adopted"])
async def test_a_former_owner_loses_the_console(innkeeper: Deployment, whose: str) -> None:
    """The machine belongs to another user, or it was released and runs on, in use by its maker."""
    pools = await two_pools(innkeeper)
    system_id, otto = pools.contents[NATIVE].system_id, pools.as_role(Role.COLLEAGUE)
    await innkeeper.post(f"machines/{system_id}/", op="power_on")
    await own(innkeeper, system_id, "otto")
    limit(innkeeper, ConsoleLimits(check_every_s=0.1))
    async with console(otto, system_id) as socket:
        await shown(socket, b"native-machine$ ")
        await becomes(innkeeper, system_id, whose, MachineState.READY)
        assert await ended(socket) == "You may not see this console any more."
    refused = await rejection(otto.get(f"machines/{system_id}/", op="console_log"))
    assert refused.details["status"] == 403


async def test_a_console_ends_with_its_api_key(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, system_id, "ann")
    limit(innkeeper, ConsoleLimits(check_every_s=0.1))
    async with console(ann, system_id) as socket:
        await shown(socket, b"vm$ ")
        (key,) = await ann.get("account/", op="list_authorisation_tokens")
        await ann.post("account/", op="delete_authorisation_token", token_key=key["token_key"])
        assert await ended(socket) == "You may not see this console any more."


async def test_a_rack_that_is_lost_ends_the_console(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    async with console(innkeeper, system_id) as socket:
        await shown(socket, b"vm$ ")
        for link in innkeeper.region.components.listener.links:
            link.abort()
        assert await ended(socket) != ""


async def test_a_region_that_stops_says_so(innkeeper: Deployment) -> None:
    async with console(innkeeper, await running(innkeeper)) as socket:
        await shown(socket, b"vm$ ")
        await innkeeper.in_process.stop_region()
        assert await ended(socket) == "the region is stopping"


async def test_a_region_that_stops_disconnects_who_does_not_answer(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running_requests, "WEBSOCKETS_END_S", 0.1)
    async with console(innkeeper, await running(innkeeper)) as socket:
        await shown(socket, b"vm$ ")
        cast(Any, socket.transport).pauseProducing()
        assert len(websockets()) == 1
        await innkeeper.in_process.stop_region()
        assert websockets() == []
    assert "request_crashed" not in capsys.readouterr().out

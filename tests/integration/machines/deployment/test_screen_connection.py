"""Screens through a region and a rack to a simulated guest: pictures, keys, rights, limits, and what is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from attrs import evolve

from innkeeper.websocket import WebSocket
from rackd.drivers.simulated.screens.screen import HEIGHT, KEYS_FROM, WIDTH, colour_of
from regiond.machines.running.console.limits import ConsoleLimits
from tests.deployment.deployment import Deployment
from tests.doubles.vnc_client import Screen, Viewer, asked, key
from tests.integration.machines.deployment.test_console_connection import DEADLINE_S, ended, limit, running
from tests.integration.machines.deployment.test_deployments import composed
from tests.integration.support.users import as_user, own
from tests.support.clock import advance
from tests.support.rejections import rejection
from tests.support.waiting import eventually

CLOSED = "The screen of vm was closed: The connection was lost."  # a client that only drops it says no more


@asynccontextmanager
async def screen(innkeeper: Deployment, system_id: str, name: str = "") -> AsyncIterator[WebSocket]:
    socket = await innkeeper.api.websocket(
        f"machines/{system_id}/", op="screen", query=(("screen", name),) if name else ()
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield socket
    finally:
        socket.close()


def viewer(socket: WebSocket) -> Viewer:
    async def read() -> bytes:
        message = await socket.receive()
        assert isinstance(message, bytes), f"it ended with {message!r}"
        return message

    async def write(data: bytes) -> None:
        socket.send(data)

    return Viewer(read, write)


async def messages(innkeeper: Deployment) -> list[str]:
    answer = await innkeeper.get("events/?op=query")
    return [event["description"] for event in answer["events"] if "screen" in event["description"]]


async def test_a_viewer_sees_the_screen_and_its_keys_arrive(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    async with screen(innkeeper, system_id) as socket:
        one = viewer(socket)
        found = await one.connect()
        assert found == Screen(width=WIDTH, height=HEIGHT, name="vm")
        (whole,) = await one.picture(found)
        assert len(whole.content) == 4 * WIDTH * HEIGHT
        await one.write(key(0x61, down=True))
        (changed,) = await one.picture(found, incremental=True)
        at = 4 * WIDTH * KEYS_FROM
        assert changed.content[at : at + 3] == colour_of(0x61)[::-1]
        assert await messages(innkeeper) == ["The screen of vm was opened"]
    await eventually(lambda: _is_recorded(innkeeper, CLOSED))
    audited = await innkeeper.get("audit/")
    assert any(entry["action"].endswith("screen") for entry in audited), audited


async def _is_recorded(innkeeper: Deployment, text: str) -> bool:
    return text in await messages(innkeeper)


async def test_connections_of_one_screen_count_and_are_recorded_once(innkeeper: Deployment) -> None:
    limit(innkeeper, ConsoleLimits(per_account=1))
    system_id = await running(innkeeper)
    async with screen(innkeeper, system_id, "a") as first, screen(innkeeper, system_id, "a") as second:
        await viewer(first).connect()
        await viewer(second).connect()
        async with screen(innkeeper, system_id, "b") as third:
            assert "1 console open" in await ended(third)
    await eventually(lambda: _is_recorded(innkeeper, CLOSED))
    assert len(await messages(innkeeper)) == 2


async def test_a_screen_that_only_refreshes_is_left_alone_and_ends(innkeeper: Deployment) -> None:
    limit(innkeeper, ConsoleLimits(idle_s=18.0, longest_s=19.0, check_every_s=0.1))
    async with screen(innkeeper, await running(innkeeper)) as socket:
        one = viewer(socket)
        found = await one.connect()
        await one.picture(found)
        await advance(9)  # less than `INPUT_DEADLINE_S`: the last request may still be on its way to the rack
        await one.picture(found)  # if it counted, `longest_s` would end the screen
        await advance(9)
        assert await ended(socket) == "Nothing was typed for 0.3 minutes. Open the screen again to continue."


async def test_only_the_owner_sees_the_screen(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    ann = await as_user(innkeeper, "ann")
    refused = await rejection(ann.api.websocket(f"machines/{system_id}/", op="screen"))
    assert refused.details["status"] == 403
    await own(innkeeper, system_id, "ann")
    async with screen(evolve(innkeeper, other_account=ann.other_account), system_id) as socket:
        await viewer(socket).connect()


async def test_a_former_owner_loses_the_screen(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, system_id, "ann")
    limit(innkeeper, ConsoleLimits(check_every_s=0.1))
    async with screen(ann, system_id) as socket:
        await viewer(socket).connect()
        await innkeeper.fetch("update machine set owner_id = composed_by_id where system_id = $1", system_id)
        assert await ended(socket) == "You may not see this screen any more."


async def test_a_vm_that_is_off_says_that_it_has_no_screen_yet(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    async with screen(innkeeper, system_id) as socket:
        assert "is off: it has a screen once it is started" in await ended(socket)


@pytest.mark.slow
async def test_a_vm_that_is_switched_off_ends_its_screen(innkeeper: Deployment) -> None:
    system_id = await running(innkeeper)
    async with screen(innkeeper, system_id) as socket:
        one = viewer(socket)
        found = await one.connect()
        await one.picture(found)
        socket.send(asked(found, incremental=True))
        await innkeeper.post(f"machines/{system_id}/", op="power_off", stop_mode="hard")
        assert await ended(socket) == "The virtual machine has ended the screen."


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n", b"RFB 003.008\n\x05"])
async def test_what_is_no_vnc_ends_the_screen_and_nothing_else(innkeeper: Deployment, sent: bytes) -> None:
    system_id = await running(innkeeper)
    async with screen(innkeeper, system_id) as socket:
        socket.send(sent)
        assert "VNC client" in await ended(socket)
    async with screen(innkeeper, system_id) as socket:
        await viewer(socket).connect()

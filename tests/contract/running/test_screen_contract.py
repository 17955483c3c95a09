"""Contract of screens: VNC, or a channel of SPICE, to a guest that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.errors import NotFound, WrongState
from common.guests.guest_spec import GuestSpec
from common.values import PowerAction
from rackd.drivers.contract import ConsoleStream
from tests.contract.running.test_console_contract import drain
from tests.contract.support.driver_fixtures import Capability, CapableFixture, requires, spec_for
from tests.doubles.vnc_client import MAIN, SPICE_MAGIC, spice_link, threaded

DEADLINE_S = 150.0
REOPENED = 8  # times


async def running(host: CapableFixture, name: str) -> GuestSpec:
    spec = spec_for(host, name)
    await asyncio.to_thread(host.driver.compose, spec)
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    return spec


@asynccontextmanager
async def opened(host: CapableFixture, spec: GuestSpec) -> AsyncIterator[ConsoleStream]:
    stream = await asyncio.to_thread(host.driver.open_screen, spec.ref)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield stream
    finally:
        await asyncio.to_thread(stream.close)


async def sees(host: CapableFixture, stream: ConsoleStream) -> None:
    """Returns once the guest's side of the screen has answered."""
    one = threaded(stream)
    if host.has_spice:
        await one.write(spice_link(MAIN))
        assert await one.take(4) == SPICE_MAGIC
        return
    screen = await one.connect()
    while not any(any(part.content) for part in await one.picture(screen)):  # black until the firmware has begun
        pass


@pytest.mark.clusters
@requires(Capability.SCREEN)
async def test_the_screen_shows_something_without_a_password(host: CapableFixture) -> None:
    spec = await running(host, "seen")
    async with opened(host, spec) as stream:
        await sees(host, stream)


@requires(Capability.SCREEN)
async def test_several_connections_see_one_screen_again_and_again(host: CapableFixture) -> None:
    spec = await running(host, "shared")
    async with opened(host, spec) as first:
        await sees(host, first)
        for _ in range(REOPENED):
            async with opened(host, spec) as other:
                await sees(host, other)
    assert await asyncio.to_thread(host.driver.reach)


@requires(Capability.SCREEN)
async def test_closing_ends_a_reader_of_the_screen_that_waits(host: CapableFixture) -> None:
    spec = await running(host, "closed")
    stream = await asyncio.to_thread(host.driver.open_screen, spec.ref)
    reading = asyncio.create_task(asyncio.to_thread(drain, stream))
    await asyncio.to_thread(stream.close)
    async with asyncio.timeout(DEADLINE_S):
        await reading


@requires(Capability.SCREEN)
async def test_a_guest_that_is_switched_off_ends_its_screen(host: CapableFixture) -> None:
    spec = await running(host, "ended")
    async with opened(host, spec) as stream:
        await sees(host, stream)
        reading = asyncio.create_task(asyncio.to_thread(drain, stream))
        await viewer_asks_on(host, stream)
        await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
        await reading


async def viewer_asks_on(host: CapableFixture, stream: ConsoleStream) -> None:
    """Asks for the next picture, as viewers do all the time."""
    if not host.has_spice:
        await asyncio.to_thread(stream.write, b"\x03\x01" + bytes(8))


@requires(Capability.SCREEN)
def test_a_guest_that_is_off_has_no_screen(host: CapableFixture) -> None:
    spec = spec_for(host, "off")
    host.driver.compose(spec)
    with pytest.raises(WrongState, match="is off"):
        host.driver.open_screen(spec.ref)
    missing = spec_for(host, "missing")
    with pytest.raises(NotFound, match=missing.name):
        host.driver.open_screen(missing.ref)

"""Contract of consoles: the end of what a guest writes to its serial port, and streams to and from it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from common.errors import DriverFailed, HostUnreachable, NotFound, WrongState
from common.guests.guest_spec import GuestSpec
from common.values import PowerAction
from rackd.drivers.contract import ConsoleStream
from tests.contract.support.driver_fixtures import Capability, CapableFixture, requires, spec_for
from tests.contract.support.guest_samples import volumes_of
from tests.support.waiting import eventually

DEADLINE_S = 150.0

MAX_BYTES = 4096
REOPENED = 8  # times
TYPED = 10  # parts, each time


@requires(Capability.CONSOLE_LOG)
async def test_the_serial_log_has_what_the_guest_wrote(host: CapableFixture) -> None:
    spec = spec_for(host, "writes")
    await asyncio.to_thread(host.driver.compose, spec)
    assert host.driver.console_log(spec.ref, max_bytes=MAX_BYTES) == b""
    greeting = host.greet_on_boot(spec).strip()
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    await eventually(lambda: greeting in host.driver.console_log(spec.ref, max_bytes=MAX_BYTES))


@requires(Capability.CONSOLE_LOG)
async def test_only_the_end_of_the_serial_log_is_returned(host: CapableFixture) -> None:
    spec = spec_for(host, "bounded")
    await asyncio.to_thread(host.driver.compose, spec)
    greeting = host.greet_on_boot(spec).strip()
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    await eventually(lambda: greeting in host.driver.console_log(spec.ref, max_bytes=MAX_BYTES))
    before = host.driver.console_log(spec.ref, max_bytes=MAX_BYTES)
    end = host.driver.console_log(spec.ref, max_bytes=5)
    after = host.driver.console_log(spec.ref, max_bytes=MAX_BYTES)  # the firmware may have written more meanwhile
    assert end in {after[size - 5 : size] for size in range(len(before), len(after) + 1)}


@requires(Capability.CONSOLE_LOG)
def test_the_serial_log_is_removed_with_the_guest(host: CapableFixture) -> None:
    before = host.volumes()
    spec = spec_for(host, "removed")
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert host.volumes() == before
    with pytest.raises(NotFound, match=spec.name):
        host.driver.console_log(spec.ref, max_bytes=MAX_BYTES)


async def opened(host: CapableFixture, name: str) -> tuple[GuestSpec, ConsoleStream, bytes]:
    """A running guest, its console, and what that shows when `hello` is typed."""
    spec = spec_for(host, name)
    await asyncio.to_thread(host.driver.compose, spec)
    shown = await asyncio.to_thread(host.shown_for_hello, spec)
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    return spec, await asyncio.to_thread(host.driver.open_console, spec.ref), shown


async def read_until(stream: ConsoleStream, wanted: bytes) -> None:
    found = b""
    async with asyncio.timeout(DEADLINE_S):
        while wanted not in found:
            data = await asyncio.to_thread(stream.read)
            assert data, f"the console ended after {found!r}"
            found += data


@pytest.mark.clusters
@requires(Capability.CONSOLE)
async def test_what_is_typed_reaches_the_guest_and_comes_back(host: CapableFixture) -> None:
    _, stream, shown = await opened(host, "typed")
    try:
        reading = asyncio.create_task(read_until(stream, shown))
        while not reading.done():  # the guest may not listen yet
            await asyncio.to_thread(stream.write, b"hello")
            await asyncio.wait([reading], timeout=0.5)
        await reading
    finally:
        await asyncio.to_thread(stream.close)


@requires(Capability.CONSOLE)
async def test_closing_ends_a_reader_that_waits(host: CapableFixture) -> None:
    spec, stream, _ = await opened(host, "closed")
    reading = asyncio.create_task(asyncio.to_thread(drain, stream))
    await asyncio.to_thread(stream.close)
    async with asyncio.timeout(DEADLINE_S):
        await reading
    again = await asyncio.to_thread(host.driver.open_console, spec.ref)
    await asyncio.to_thread(again.close)


@requires(Capability.CONSOLE)
async def test_a_console_closed_in_the_middle_of_its_output_can_be_opened_again(host: CapableFixture) -> None:
    """LXD 5.0 ends as a whole if the two connections of a console are closed in the wrong order just then."""
    spec, stream, _ = await opened(host, "reopened")
    for _ in range(REOPENED):
        reading = asyncio.create_task(asyncio.to_thread(drain, stream))
        for _ in range(TYPED):
            await asyncio.to_thread(stream.write, b"hello")
        await asyncio.to_thread(stream.close)
        async with asyncio.timeout(DEADLINE_S):
            await reading
        stream = await asyncio.to_thread(host.driver.open_console, spec.ref)
    await asyncio.to_thread(stream.close)
    assert await asyncio.to_thread(host.driver.reach)


@requires(Capability.CONSOLE)
async def test_a_guest_that_is_switched_off_ends_its_console(host: CapableFixture) -> None:
    spec, stream, _ = await opened(host, "ended")
    reading = asyncio.create_task(asyncio.to_thread(drain, stream))
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await reading
    finally:
        await asyncio.to_thread(stream.close)


@requires(Capability.CONSOLE)
def test_a_guest_that_is_off_has_no_console(host: CapableFixture) -> None:
    spec = spec_for(host, "off")
    host.driver.compose(spec)
    with pytest.raises(WrongState, match="is off"):
        host.driver.open_console(spec.ref)
    missing = spec_for(host, "missing")
    with pytest.raises(NotFound, match=missing.name):
        host.driver.open_console(missing.ref)


def drain(stream: ConsoleStream) -> None:
    """Returns when the console has ended."""
    with suppress(HostUnreachable, DriverFailed):
        while stream.read():
            pass

"""The driver when libvirtd hangs, is killed and restarts; each test has its own libvirtd."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import libvirt
import pytest

from common.errors import HostUnreachable
from common.values import GuestChange, GuestEvent
from rackd.drivers.libvirt.connection.client import KEEPALIVE_EVERY_S, KEEPALIVE_MISSES, Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.own_libvirtd import OwnLibvirtd
from tests.support.descriptors import descriptors
from tests.support.waiting import eventually

NOTICED_S = KEEPALIVE_EVERY_S * (KEEPALIVE_MISSES + 1)
ONE_CONNECTION = 2  # descriptors
FOREIGN = "<domain type='qemu'><name>other</name><memory>65536</memory><os><type>hvm</type></os></domain>"


@pytest.fixture
def driver(own_libvirtd: OwnLibvirtd) -> Iterator[LibvirtDriver]:
    opened = LibvirtDriver(lambda: Client.open(own_libvirtd.uri), INSTALLATION)
    yield opened
    opened.close()


def test_calls_to_an_unresponsive_libvirtd_fail(own_libvirtd: OwnLibvirtd, driver: LibvirtDriver) -> None:
    driver.reach()
    own_libvirtd.send(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(HostUnreachable):
        driver.discover()
    assert time.monotonic() - started < 5 * NOTICED_S  # without keepalives the call would never return
    own_libvirtd.send(signal.SIGCONT)
    assert driver.discover().guests == ()


def test_a_restarted_libvirtd_is_the_same_server(own_libvirtd: OwnLibvirtd, driver: LibvirtDriver) -> None:
    before = driver.discover().facts.server_identity
    own_libvirtd.kill()
    with pytest.raises(HostUnreachable):
        driver.discover()
    own_libvirtd.start()
    assert driver.discover().facts.server_identity == before


async def test_a_watch_resyncs_after_a_gap_and_continues(own_libvirtd: OwnLibvirtd, driver: LibvirtDriver) -> None:
    seen: list[GuestChange] = []
    stop = await asyncio.to_thread(driver.watch, seen.append)
    await asyncio.to_thread(own_libvirtd.kill)
    await eventually(lambda: [change.event for change in seen] == [GuestEvent.RESYNC])  # the loss is reported
    await asyncio.to_thread(own_libvirtd.start)
    await eventually(lambda: [change.event for change in seen[:2]] == [GuestEvent.RESYNC] * 2)
    administrator = await asyncio.to_thread(Client.open, own_libvirtd.uri)
    domain = await asyncio.to_thread(administrator.define, FOREIGN, "other")
    await eventually(lambda: (GuestEvent.APPEARED, "other") in [(one.event, one.guest_name) for one in seen])
    await asyncio.to_thread(domain.undefine)
    await asyncio.to_thread(administrator.close)
    await asyncio.to_thread(stop)


async def test_a_watch_keeps_no_connection_that_was_lost(own_libvirtd: OwnLibvirtd, driver: LibvirtDriver) -> None:
    seen: list[GuestChange] = []
    stop = await asyncio.to_thread(driver.watch, seen.append)

    async def lose_it() -> None:
        reports = len(seen)
        await asyncio.to_thread(own_libvirtd.kill)
        await eventually(lambda: len(seen) == reports + 1)  # the first attempt to reconnect has failed
        await asyncio.to_thread(own_libvirtd.start)
        await eventually(lambda: len(seen) == reports + 2)

    await lose_it()
    before = descriptors()
    for _ in range(2 * ONE_CONNECTION):
        await lose_it()
    await eventually(lambda: descriptors() <= before + ONE_CONNECTION)  # libvirt frees the last one some time later
    await asyncio.to_thread(stop)


async def test_a_watch_can_be_stopped_while_the_host_is_down(own_libvirtd: OwnLibvirtd, driver: LibvirtDriver) -> None:
    stop = await asyncio.to_thread(driver.watch, lambda _change: None)
    await asyncio.to_thread(own_libvirtd.kill)
    async with asyncio.timeout(60):
        await asyncio.to_thread(stop)
        await asyncio.to_thread(driver.close)


PINNED = FOREIGN.replace(
    "<os>", f"<uuid>{INSTALLATION}</uuid><vcpu>1</vcpu><cputune><vcpupin vcpu='0' cpuset='%d'/></cputune><os>"
)


async def test_domains_are_reread_after_events_and_reconnects(
    own_libvirtd: OwnLibvirtd,
) -> None:
    driver = LibvirtDriver(lambda: Client.open(own_libvirtd.uri), INSTALLATION, reread_domains=0)  # only after events
    administrator = await asyncio.to_thread(libvirt.open, own_libvirtd.uri)
    domain = administrator.defineXML(PINNED % 0)

    async def is_pinned_to(core: int) -> bool:
        (guest,) = (await asyncio.to_thread(driver.discover)).guests
        return guest.pinned_core_ids == (core,)

    assert await is_pinned_to(0)
    administrator.defineXML(PINNED % 1)
    await eventually(lambda: is_pinned_to(1))
    domain.pinVcpuFlags(0, (True, False), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    assert await is_pinned_to(1), "libvirt sends no event"
    await asyncio.to_thread(own_libvirtd.kill)
    with pytest.raises(HostUnreachable):
        await asyncio.to_thread(driver.discover)
    await asyncio.to_thread(own_libvirtd.start)
    assert await is_pinned_to(0)
    administrator.close()
    driver.close()

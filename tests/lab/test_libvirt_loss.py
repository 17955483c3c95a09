"""What the driver does when libvirtd stops answering, dies, and comes back: on a libvirtd of the test's own."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import libvirt
import pytest

from common.errors import HostUnreachable
from common.values import GuestChange, GuestEvent
from rackd.drivers.libvirt import definitions
from rackd.drivers.libvirt.client import KEEPALIVE_EVERY_S, KEEPALIVE_MISSES, Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.lab.conftest import INSTALLATION
from tests.lab.own_libvirtd import OwnLibvirtd
from tests.waiting import eventually

NOTICED_S = KEEPALIVE_EVERY_S * (KEEPALIVE_MISSES + 1)
FOREIGN = "<domain type='qemu'><name>other</name><memory>65536</memory><os><type>hvm</type></os></domain>"


@pytest.fixture
def driver(own_libvirtd: OwnLibvirtd) -> Iterator[LibvirtDriver]:
    made = LibvirtDriver(lambda: Client.open(own_libvirtd.uri), INSTALLATION)
    yield made
    made.close()


def test_a_libvirtd_that_stopped_answering_fails_the_call(own_libvirtd: OwnLibvirtd, driver: LibvirtDriver) -> None:
    driver.reach()
    own_libvirtd.send(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(HostUnreachable):
        driver.discover()
    assert time.monotonic() - started < 5 * NOTICED_S  # it would be silent for good
    own_libvirtd.send(signal.SIGCONT)
    assert driver.discover().guests == ()


def test_a_restarted_libvirtd_is_the_same_server(own_libvirtd: OwnLibvirtd, driver: LibvirtDriver) -> None:
    before = driver.discover().facts.server_identity
    own_libvirtd.kill()
    with pytest.raises(HostUnreachable):
        driver.discover()
    own_libvirtd.start()
    assert driver.discover().facts.server_identity == before


async def test_after_a_gap_watchers_are_told_to_look_again_and_hear_what_follows(
    own_libvirtd: OwnLibvirtd, driver: LibvirtDriver
) -> None:
    seen: list[GuestChange] = []
    stop = await asyncio.to_thread(driver.watch, seen.append)
    await asyncio.to_thread(own_libvirtd.kill)
    await asyncio.to_thread(own_libvirtd.start)
    await eventually(lambda: [change.event for change in seen] == [GuestEvent.RESYNC])
    administrator = await asyncio.to_thread(Client.open, own_libvirtd.uri)
    domain = await asyncio.to_thread(administrator.define, FOREIGN, "other")
    await eventually(lambda: (GuestEvent.APPEARED, "other") in [(one.event, one.guest_name) for one in seen])
    await asyncio.to_thread(domain.undefine)
    await asyncio.to_thread(administrator.close)
    await asyncio.to_thread(stop)


async def test_a_watch_can_be_stopped_while_the_host_is_away(own_libvirtd: OwnLibvirtd, driver: LibvirtDriver) -> None:
    stop = await asyncio.to_thread(driver.watch, lambda _change: None)
    await asyncio.to_thread(own_libvirtd.kill)
    async with asyncio.timeout(60):
        await asyncio.to_thread(stop)
        await asyncio.to_thread(driver.close)


PINNED = FOREIGN.replace(
    "<os>", f"<uuid>{INSTALLATION}</uuid><vcpu>1</vcpu><cputune><vcpupin vcpu='0' cpuset='%d'/></cputune><os>"
)


async def test_definitions_are_read_again_when_a_change_is_told_and_all_of_them_on_a_new_connection(
    own_libvirtd: OwnLibvirtd, driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "AGAIN", 0)  # so that nothing but what is told counts
    administrator = await asyncio.to_thread(libvirt.open, own_libvirtd.uri)
    domain = administrator.defineXML(PINNED % 0)

    async def is_on(core: int) -> bool:
        (guest,) = (await asyncio.to_thread(driver.discover)).guests
        return guest.pinned_core_ids == (core,)

    assert await is_on(0)
    administrator.defineXML(PINNED % 1)
    await eventually(lambda: is_on(1))
    calls = (await asyncio.to_thread(driver.discover)).calls
    domain.pinVcpuFlags(0, (True, False), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    assert await is_on(1), "libvirt tells nobody"
    assert (await asyncio.to_thread(driver.discover)).calls == calls
    await asyncio.to_thread(own_libvirtd.kill)
    with pytest.raises(HostUnreachable):
        await asyncio.to_thread(driver.discover)
    await asyncio.to_thread(own_libvirtd.start)
    assert await is_on(0)
    administrator.close()

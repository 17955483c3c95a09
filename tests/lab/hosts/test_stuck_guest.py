"""A guest whose QEMU hangs delays only the refresh that finds it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.values import PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.lab_host import FOREIGN_DISK_BYTES, LabHost
from tests.lab.servers.own_libvirtd import OwnLibvirtd
from tests.support.waiting import eventually


@pytest.fixture
def lab_host(own_libvirtd: OwnLibvirtd, tmp_path: Path) -> Iterator[LabHost]:
    host = LabHost(tmp_path, uri=own_libvirtd.uri)
    yield host
    host.close()


def unlist(host: LabHost) -> None:
    """libvirt lists no file that others put into the folder after the last refresh of the pool."""
    disk = host.pool_folder / "stuck.img"
    hidden = disk.rename(host.pool_folder.with_suffix(".hidden"))
    host.pool.refresh()
    hidden.rename(disk)


async def test_only_the_first_refresh_waits_for_a_stuck_guest(own_libvirtd: OwnLibvirtd, lab_host: LabHost) -> None:
    stuck = lab_host.make_foreign("stuck")
    unlist(lab_host)
    stuck.create()
    process = own_libvirtd.process_of(stuck.name())
    first, second = (LibvirtDriver(lambda: Client.open(own_libvirtd.uri), INSTALLATION) for _ in range(2))
    before = await asyncio.to_thread(first.discover)
    assert [disk.size_bytes for disk in before.guests[0].disks] == [FOREIGN_DISK_BYTES]
    os.kill(process, signal.SIGSTOP)
    try:
        waiting = asyncio.create_task(asyncio.to_thread(first.discover))
        await eventually(lambda: stuck.controlInfo()[0] != 0)  # the first discovery run holds the guest's lock
        found = await asyncio.to_thread(second.discover)
        assert not waiting.done()
        assert [(guest.name, guest.power) for guest in found.guests] == [(stuck.name(), PowerState.ON)]
        assert [(disk.size_bytes, disk.missing) for disk in found.guests[0].disks] == [(0, False)]
        assert [(problem.subject, "vda" in problem.message) for problem in found.problems] == [(stuck.name(), True)]
    finally:
        os.kill(process, signal.SIGCONT)
    assert (await waiting).guests == before.guests
    for driver in (first, second):
        await asyncio.to_thread(driver.close)

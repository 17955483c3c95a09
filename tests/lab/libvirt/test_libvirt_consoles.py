"""Consoles and screens of libvirt leave no connection behind, and end no process when libvirtd hangs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.values import PowerAction
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.contract.support.guest_samples import new_marker, small_guest
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.own_libvirtd import OwnLibvirtd
from tests.support.descriptors import descriptors
from tests.support.waiting import eventually

CONSOLES = 6
DEADLINE_S = 90.0


@pytest.fixture
def lab_host(tmp_path: Path, own_libvirtd: OwnLibvirtd) -> Iterator[LabHost]:
    tmp_path.chmod(0o755)
    host = LabHost(tmp_path, uri=own_libvirtd.uri)
    yield host
    host.connect()
    host.close()


@pytest.mark.parametrize("opening", ["open_console", "open_screen"])
async def test_a_closed_console_leaves_no_descriptor(
    own_libvirtd: OwnLibvirtd, lab_host: LabHost, opening: str
) -> None:
    driver = LibvirtDriver(lambda: Client.open(own_libvirtd.uri), INSTALLATION)
    spec = small_guest(f"{lab_host.prefix}many", new_marker(INSTALLATION), (lab_host.pool_id,))
    await asyncio.to_thread(driver.compose, spec)
    await asyncio.to_thread(driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    before = descriptors()
    for _ in range(CONSOLES):
        console = await asyncio.to_thread(getattr(driver, opening), spec.ref)
        await asyncio.to_thread(console.close)
        del console
    await eventually(lambda: descriptors() <= before)
    await asyncio.to_thread(driver.close)


def test_closing_the_consoles_of_a_hung_libvirtd_ends_no_process(own_libvirtd: OwnLibvirtd, lab_host: LabHost) -> None:
    """libvirt 9.0 ends with SIGSEGV if two threads wait for one connection when it is lost."""
    command = [sys.executable, "-P", "-m", "tests.lab.libvirt.console_holder", own_libvirtd.uri, lab_host.pool_id]
    command += [lab_host.prefix, str(CONSOLES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            own_libvirtd.send(signal.SIGSTOP)
            said, _ = process.communicate("close\n", timeout=DEADLINE_S)
        finally:
            own_libvirtd.send(signal.SIGCONT)
            process.kill()
    assert (said, process.returncode) == ("closed\n", 0)

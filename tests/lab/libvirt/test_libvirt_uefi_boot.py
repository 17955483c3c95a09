"""Real QEMU with UEFI firmware boots a program from the network: by DHCP and TFTP, and by HTTP."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from common.disks.volume_names import serial_log_name
from common.values import NicKind, PowerAction
from tests.contract.support.guest_samples import nic
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.contract.support.uefi_program import uefi_program
from tests.lab.servers.libvirt_network import SUBNET, lab_network
from tests.lab.support.libvirt_specs import small_spec
from tests.support.waiting import eventually

GREETING = b"from the network, with UEFI\n"
PORT = 8089
BOOTED_S = 300.0  # emulated firmware tries one way after the other


@pytest.fixture
def folder() -> Iterator[Path]:
    """dnsmasq is another user, which cannot enter the folder of the test."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-boot-") as made:
        Path(made).chmod(0o755)
        Path(made, "program.efi").write_bytes(uefi_program(GREETING))
        yield Path(made)


@contextmanager
def web_server(folder: Path) -> Iterator[list[str]]:
    """Yields the paths that were asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("0.0.0.0", PORT), partial(Handler, directory=str(folder))) as server:  # noqa: S104
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


async def boots(qemu: QemuFixture, network: str, tmp_path: Path) -> None:
    spec = small_spec(qemu, "uefi", nics=(nic(0, NicKind.NETWORK, network, boot=True),), memory_mib=256, uefi=True)
    await asyncio.to_thread(qemu.driver.compose, spec)
    await asyncio.to_thread(qemu.driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    console = tmp_path / serial_log_name(spec.marker)
    await eventually(lambda: GREETING.strip() in console.read_bytes(), deadline_s=BOOTED_S)


async def test_a_guest_boots_by_dhcp_and_tftp(qemu: QemuFixture, folder: Path, tmp_path: Path) -> None:
    with lab_network(qemu.administrator, folder / "program.efi") as network:
        await boots(qemu, network.name, tmp_path)


async def test_a_guest_boots_by_http(qemu: QemuFixture, folder: Path, tmp_path: Path) -> None:
    url = f"http://{SUBNET}.1:{PORT}/program.efi"
    with web_server(folder) as asked, lab_network(qemu.administrator, boot_url=url) as network:
        await boots(qemu, network.name, tmp_path)
    assert "/program.efi" in asked

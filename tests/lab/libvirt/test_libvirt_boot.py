"""Real QEMU boots from a disk, an ISO image and a DHCP and TFTP server, in the order that was asked for."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from common.boot import BootDevice, BootOnce, BootOrder
from common.disks.volume_names import serial_log_name
from common.guests.deployment_spec import ImageFormat, ImageRef
from common.guests.guest_spec import GuestSpec
from common.values import NicKind, PowerAction
from tests.contract.support.boot_sector import boot_sector, bootable_iso
from tests.contract.support.guest_samples import nic
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.servers.libvirt_network import LabNetwork, lab_network
from tests.lab.support.libvirt_specs import small_spec
from tests.support.waiting import eventually

DISK, NETWORK, ISO = BootDevice.DISK, BootDevice.NETWORK, BootDevice.ISO
GREETINGS = {DISK: b"from the disk\n", NETWORK: b"from the network\n", ISO: b"from the image\n"}


class Content:
    def __init__(self, content: bytes) -> None:
        self._stream = BytesIO(content)
        sha256 = hashlib.sha256(content).hexdigest()
        self.ref = ImageRef(
            sha256=sha256, size_bytes=len(content), virtual_size_bytes=len(content), format=ImageFormat.RAW
        )

    def read(self, offset: int, size: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(size)


@pytest.fixture
def network(qemu: QemuFixture) -> Iterator[LabNetwork]:
    """Its server offers a program by TFTP. dnsmasq is another user, which cannot enter the folder of the test."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-tftp-") as folder:
        Path(folder).chmod(0o755)
        program = Path(folder, "program.0")
        program.write_bytes(boot_sector(GREETINGS[NETWORK]))
        program.chmod(0o644)
        with lab_network(qemu.administrator, program) as made:
            yield made


def composed(qemu: QemuFixture, network: LabNetwork, folder: Path) -> GuestSpec:
    spec = small_spec(qemu, "boots", nics=(nic(0, NicKind.NETWORK, network.name, boot=True),))
    qemu.driver.compose(spec)
    with (folder / spec.disks[0].volume).open("r+b") as disk:
        disk.write(boot_sector(GREETINGS[DISK]))
    return spec


async def booted_from(
    qemu: QemuFixture, spec: GuestSpec, console: Path, once: BootOrder | None = None
) -> BootDevice | None:
    """Starts the guest; returns what it says that it was booted from."""
    boot_once = None if once is None else BootOnce(order=once, key="op-1")
    await asyncio.to_thread(qemu.driver.power, spec.ref, PowerAction.CYCLE, grace_s=0.1, boot_once=boot_once)

    def said() -> BootDevice | None:
        text = console.read_bytes()  # of this start: the log begins anew with each
        return next((device for device, greeting in GREETINGS.items() if greeting.strip() in text), None)

    found: BootDevice = await eventually(said, deadline_s=90.0)
    return found


async def test_a_guest_boots_as_its_order_says(qemu: QemuFixture, network: LabNetwork, tmp_path: Path) -> None:
    spec = await asyncio.to_thread(composed, qemu, network, tmp_path)
    console = tmp_path / serial_log_name(spec.marker)
    image = Content(bootable_iso(GREETINGS[ISO]))
    assert await booted_from(qemu, spec, console) is NETWORK
    await asyncio.to_thread(qemu.driver.set_boot_order, spec.ref, (DISK,))
    assert await booted_from(qemu, spec, console) is DISK
    assert await booted_from(qemu, spec, console, (NETWORK,)) is NETWORK
    assert await booted_from(qemu, spec, console) is DISK
    await asyncio.to_thread(qemu.driver.copy_image, image.ref, qemu.pool_id, image)
    await asyncio.to_thread(qemu.driver.insert_iso, spec.ref, image.ref.sha256, qemu.pool_id)
    assert await booted_from(qemu, spec, console) is DISK
    assert await booted_from(qemu, spec, console, (ISO,)) is ISO
    await asyncio.to_thread(qemu.driver.set_boot_order, spec.ref, (ISO, DISK))
    assert await booted_from(qemu, spec, console) is ISO
    await asyncio.to_thread(qemu.driver.eject_iso, spec.ref)
    assert await booted_from(qemu, spec, console) is DISK


async def test_a_running_guest_with_a_drive_gets_another_image(
    qemu: QemuFixture, network: LabNetwork, tmp_path: Path
) -> None:
    spec = await asyncio.to_thread(composed, qemu, network, tmp_path)
    first, second = Content(bootable_iso(b"first\n")), Content(bootable_iso(b"second\n"))
    for image in (first, second):
        await asyncio.to_thread(qemu.driver.copy_image, image.ref, qemu.pool_id, image)
    await asyncio.to_thread(qemu.driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    state = await asyncio.to_thread(qemu.driver.insert_iso, spec.ref, first.ref.sha256, qemu.pool_id)
    assert (state.now, state.after) == ("", first.ref.sha256)
    await asyncio.to_thread(qemu.driver.power, spec.ref, PowerAction.CYCLE, grace_s=0.1)
    for image in (second, first):
        state = await asyncio.to_thread(qemu.driver.insert_iso, spec.ref, image.ref.sha256, qemu.pool_id)
        assert (state.now, state.after) == (image.ref.sha256, image.ref.sha256)
    state = await asyncio.to_thread(qemu.driver.eject_iso, spec.ref)
    assert (state.now, state.after, state.runs) == ("", "", True)

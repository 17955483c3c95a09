"""Screens of real QEMU guests: VNC on the host itself, pictures and keys over SSH, and none without video."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.errors import Unsupported
from common.guests.guest_spec import GuestSpec
from common.values import DriverType, HostAccess, PowerAction
from rackd.drivers.libvirt.factory import LibvirtDriverFactory
from tests.contract.support.libvirt_fixtures import QemuFixture, qemu_fixture
from tests.doubles.vnc_client import DESKTOP_SIZE, EXTENDED_KEY, TIGHT_PNG, Viewer, encodings, placed_key, threaded
from tests.lab.conftest import INSTALLATION
from tests.lab.support.libvirt_specs import small_spec

pytestmark = pytest.mark.lab

DEADLINE_S = 120.0
CONTROL, ALT, DELETE = (0xFFE3, 0x1D), (0xFFE9, 0x38), (0xFFFF, 0xD3)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[QemuFixture]:
    tmp_path.chmod(0o755)
    made = qemu_fixture(INSTALLATION, tmp_path)
    yield made
    made.close()


def composed(host: QemuFixture, name: str) -> GuestSpec:
    spec = small_spec(host, name, nics=host.nics)
    host.driver.compose(spec)
    return spec


def definition(host: QemuFixture, spec: GuestSpec) -> ET.Element:
    xml = host.administrator.lookupByName(spec.name).XMLDesc()
    return ET.fromstring(xml)  # noqa: S314  # trusted: reported by libvirt


def test_nothing_on_the_host_listens_for_the_screen(host: QemuFixture) -> None:
    spec = composed(host, "silent")
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    (graphics,) = definition(host, spec).iterfind("devices/graphics")
    assert (graphics.get("type"), graphics.get("port"), graphics.get("socket")) == ("vnc", None, None)
    assert [listen.attrib for listen in graphics] == [{"type": "none"}]


def test_a_guest_without_a_video_device_is_told_what_helps(host: QemuFixture) -> None:
    spec = composed(host, "blind")
    tree = definition(host, spec)
    devices = tree.find("devices")
    assert devices is not None
    for device in [*devices.iterfind("graphics"), *devices.iterfind("video")]:
        devices.remove(device)
    ET.SubElement(ET.SubElement(devices, "video"), "model", type="none")
    host.administrator.defineXML(ET.tostring(tree, encoding="unicode"))
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    with pytest.raises(Unsupported, match="no video device"):
        host.driver.open_screen(spec.ref)


async def test_pictures_and_keys_pass_through_ssh(host: QemuFixture, lab_ssh: tuple[str, str]) -> None:
    spec = await asyncio.to_thread(composed, host, "remote")
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    driver = await asyncio.to_thread(LibvirtDriverFactory().open, over_ssh(*lab_ssh))
    try:
        stream = await asyncio.to_thread(driver.open_screen, spec.ref)
        async with asyncio.timeout(DEADLINE_S):
            viewer = threaded(stream)
            screen = await viewer.connect()
            assert screen.name == spec.name
            await viewer.write(encodings(TIGHT_PNG, DESKTOP_SIZE, EXTENDED_KEY))
            first = await pictured(viewer, b"")
            assert first.startswith(b"\x89PNG")
            keys = [placed_key(*key, down=True) for key in (CONTROL, ALT, DELETE)]
            keys += [placed_key(*key, down=False) for key in (DELETE, ALT, CONTROL)]
            await viewer.write(b"".join(keys))
            await pictured(viewer, first)
        await asyncio.to_thread(stream.close)
    finally:
        await asyncio.to_thread(driver.close)


async def pictured(viewer: Viewer, other: bytes) -> bytes:
    """Returns the first picture that differs from the other one."""
    while True:
        await viewer.write(b"\x03\x00" + bytes(8))
        parts = await viewer.answer()
        (png,) = [part.content for part in parts if part.encoding == TIGHT_PNG]
        if png != other:
            return png


def over_ssh(address: str, key: str) -> HostAccess:
    access = HostAccess(
        host_id=1, driver=DriverType.LIBVIRT, address=address, installation_id=INSTALLATION,
        credentials={"ssh_private_key": key},
    )  # fmt: skip
    identity = LibvirtDriverFactory().identify(access)
    assert identity is not None
    return evolve(access, pinned=identity.material)

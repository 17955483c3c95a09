"""The driver on real QEMU, beyond the contract suite."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.disks.volume_names import serial_log_name
from common.errors import DriverFailed, NameTaken, Unsupported
from common.hosts.discovery import Discovery
from common.values import GuestRef, PowerAction, PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.guests.compose import undo
from rackd.drivers.libvirt.inventory.domain_cache import REREAD_DOMAINS
from tests.contract.support.boot_sector import GREETING, boot_sector
from tests.contract.support.guest_samples import new_marker, volumes_of
from tests.contract.support.libvirt_fixtures import QemuFixture, disk_element, qemu_fixture
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.own_libvirtd import OwnLibvirtd
from tests.lab.support.libvirt_specs import small_spec
from tests.support.same_facts import without_other_use
from tests.support.waiting import eventually

MIB = 1024 * 1024
MANY = 300


@pytest.fixture
def quiet(own_libvirtd: OwnLibvirtd, tmp_path: Path) -> Iterator[QemuFixture]:
    """A libvirtd that only this test uses, so that its calls can be counted."""
    pool = tmp_path / "pool"
    pool.mkdir()
    host_fixture = qemu_fixture(INSTALLATION, pool, uri=own_libvirtd.uri)
    yield host_fixture
    host_fixture.close()


def install(disk: Path) -> None:
    with disk.open("r+b") as written:
        written.write(boot_sector(GREETING))


def read(console: Path) -> bytes:
    return console.read_bytes() if console.exists() else b""


async def test_a_composed_guest_boots_and_writes_to_its_console(qemu: QemuFixture, tmp_path: Path) -> None:
    spec = small_spec(qemu, "boots")
    await asyncio.to_thread(qemu.driver.compose, spec)
    install(tmp_path / spec.disks[0].volume)
    assert await asyncio.to_thread(qemu.driver.power, spec.ref, PowerAction.ON, grace_s=1.0) is PowerState.ON
    console = tmp_path / serial_log_name(spec.marker)
    try:
        await eventually(lambda: GREETING.strip() in read(console))
    finally:
        await asyncio.to_thread(qemu.driver.decompose, spec.ref, volumes_of(spec))
    assert qemu.volumes() == set()
    assert not console.exists()


def test_a_serial_log_that_cannot_be_written_prevents_no_start(qemu: QemuFixture, tmp_path: Path) -> None:
    spec = small_spec(qemu, "unlogged")
    qemu.driver.compose(spec)
    log = tmp_path / serial_log_name(spec.marker)
    log.unlink()
    log.mkdir()
    assert qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    with pytest.raises(Unsupported, match="keeps no serial log"):
        qemu.driver.console_log(spec.ref, max_bytes=100)
    log.rmdir()
    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert qemu.volumes() == set()


def test_older_parts_of_the_serial_log_go_with_the_guest(qemu: QemuFixture, tmp_path: Path) -> None:
    spec = small_spec(qemu, "rotated")
    qemu.driver.compose(spec)
    older = tmp_path / f"{serial_log_name(spec.marker)}.0"
    older.write_bytes(b"begun before")
    assert not [one for one in qemu.driver.discover().orphaned_volumes if one.marker == spec.marker]
    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert not older.exists()


def test_an_adopted_guest_has_no_serial_log_that_can_be_read(qemu: QemuFixture) -> None:
    name = f"{qemu.prefix}foreign"
    qemu.make_foreign(name)
    domain = qemu.administrator.lookupByName(name)
    marker = evolve(new_marker(INSTALLATION), machine_id=UUID(domain.UUIDString()))
    qemu.driver.adopt(domain.UUIDString(), name, marker)
    before = domain.XMLDesc()
    with pytest.raises(Unsupported, match="not composed by Innkeeper"):
        qemu.driver.console_log(GuestRef(name=name, marker=marker), max_bytes=100)
    assert domain.XMLDesc() == before


def test_paused_guests_are_resumed_and_powered_off(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "paused")
    qemu.driver.compose(spec)
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    domain = qemu.administrator.lookupByName(spec.name)
    domain.suspend()
    found = qemu.driver.find(spec.ref)
    assert found is not None
    assert found.power is PowerState.PAUSED
    assert qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    domain.suspend()
    assert qemu.driver.power(spec.ref, PowerAction.OFF, grace_s=60.0) is PowerState.OFF


def test_a_volume_of_another_size_is_recreated(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "half")
    qemu.make_volume(spec, evolve(spec.disks[0], size_bytes=MIB))
    assert qemu.driver.compose(spec).disks[0].size_bytes == 4 * MIB


def test_images_and_shared_disks_attached_later_are_not_deleted(qemu: QemuFixture, tmp_path: Path) -> None:
    spec = small_spec(qemu, "shared")
    qemu.driver.compose(spec)
    image = tmp_path / "debian.iso"
    image.write_bytes(b"\0" * MIB)
    administrator = qemu.administrator
    qemu.attach(administrator.lookupByName(spec.name), disk_element("hda", str(image), device="cdrom", bus="ide"))
    qemu.make_foreign(f"{qemu.prefix}other")
    shared = tmp_path / spec.disks[0].volume
    qemu.attach(administrator.lookupByName(f"{qemu.prefix}other"), disk_element("vdb", str(shared)))
    listed = {guest.name: guest for guest in qemu.driver.discover().guests}[spec.name]
    assert [disk.device for disk in listed.disks] == ["vda"]
    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert image.exists()
    assert shared.exists()
    assert qemu.driver.find(spec.ref) is None


def test_a_guest_with_our_id_but_no_marker_is_not_changed(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "unmarked")
    qemu.driver.compose(spec)
    domain = qemu.administrator.lookupByName(spec.name)
    tree = ET.fromstring(domain.XMLDesc())  # noqa: S314  our own domain
    metadata = tree.find("metadata")
    assert metadata is not None
    tree.remove(metadata)
    qemu.administrator.defineXML(ET.tostring(tree, encoding="unicode"))
    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert domain.isPersistent()
    assert qemu.volumes() == set(volumes_of(spec))
    with pytest.raises(NameTaken, match=spec.name):
        qemu.driver.compose(spec)


def test_a_rejected_domain_leaves_no_volume(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "rejected")
    twice = (qemu.nics[0], evolve(qemu.nics[0], mac_address="53:54:00:00:00:01"))  # a multicast address
    with pytest.raises(DriverFailed, match="unicast"):
        qemu.driver.compose(evolve(spec, nics=twice))
    assert qemu.volumes() == set()
    assert qemu.driver.find(spec.ref) is None


def test_a_guest_of_another_rack_keeps_its_disks(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "race")
    qemu.driver.compose(spec)
    client = Client.open("qemu:///system")
    volume = client.pool(qemu.pool_id).volume(spec.disks[0].volume)
    assert volume is not None
    undo(client, spec, None, [volume])
    client.close()
    assert qemu.volumes() == set(volumes_of(spec))


def test_inactive_pools_are_named(qemu: QemuFixture, tmp_path: Path) -> None:
    name = f"{qemu.prefix}idle"
    folder = tmp_path / "idle"
    folder.mkdir()
    pool = qemu.administrator.storagePoolDefineXML(
        f"<pool type='dir'><name>{name}</name><target><path>{folder}</path></target></pool>"
    )
    try:
        spec = small_spec(qemu, "idle")
        idle = evolve(spec.disks[0], pool_id=pool.UUIDString())
        with pytest.raises(DriverFailed, match=f"{name} is not active"):
            qemu.driver.compose(evolve(spec, disks=(idle,)))
    finally:
        pool.undefine()


def test_only_the_first_discovery_reads_each_domain(
    quiet: QemuFixture, own_libvirtd: OwnLibvirtd, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet.driver.compose(small_spec(quiet, "first"))
    one = two_discovery_runs(own_libvirtd.uri)
    for number in range(MANY - 1):
        quiet.driver.compose(small_spec(quiet, f"n{number}"))
    started = time.monotonic()
    many = two_discovery_runs(own_libvirtd.uri)
    took_ms = (time.monotonic() - started) * 1000
    assert len(many[0].guests) == MANY
    assert all(guest.marker is not None and guest.disks and guest.is_complete for guest in many[0].guests)
    assert many[0].calls - one[0].calls == MANY - 1
    assert many[1].calls - one[1].calls == REREAD_DOMAINS - 1
    assert without_other_use(many[1].facts) == without_other_use(many[0].facts)
    assert many[1].guests == many[0].guests
    with capsys.disabled():
        calls = " and ".join(str(run.calls) for run in many)
        print(f"\n{MANY} domains: connection and two discovery runs in {took_ms:.0f} ms, {calls} calls")  # noqa: T201


def two_discovery_runs(uri: str) -> tuple[Discovery, Discovery]:
    """The first and the second discovery of a rack that has just started."""
    driver = LibvirtDriver(lambda: Client.open(uri), INSTALLATION)
    try:
        return driver.discover(), driver.discover()
    finally:
        driver.close()

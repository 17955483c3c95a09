"""What guests write to their raw disks and serial ports says nothing about the volumes of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.disks.volume_names import serial_log_name
from common.errors import WrongState
from common.guests.guest_spec import GuestSpec
from common.hosts.discovery import VolumeRef
from tests.contract.running.test_deployment_contract import Content
from tests.contract.support.guest_samples import volumes_of
from tests.contract.support.libvirt_fixtures import QemuFixture, disk_element
from tests.lab.support.libvirt_specs import small_spec
from tests.support.disk_images import overlay_head


@pytest.fixture
def attacker(qemu: QemuFixture) -> GuestSpec:
    return composed(qemu, "attacker")


@pytest.fixture
def victim(qemu: QemuFixture) -> GuestSpec:
    return composed(qemu, "victim")


def composed(qemu: QemuFixture, name: str) -> GuestSpec:
    spec = small_spec(qemu, name)
    qemu.driver.compose(spec)
    return spec


def forge(written: Path, base: Path) -> None:
    """Begins a raw disk or a serial log like an overlay image, as its guest can."""
    with written.open("r+b") as file:
        file.write(overlay_head(base))


def disk(folder: Path, spec: GuestSpec) -> Path:
    return folder / spec.disks[0].volume


def test_a_forged_header_keeps_no_disk_of_another_guest(
    qemu: QemuFixture, attacker: GuestSpec, victim: GuestSpec, tmp_path: Path
) -> None:
    forge(disk(tmp_path, attacker), disk(tmp_path, victim))
    forge(tmp_path / serial_log_name(attacker.marker), disk(tmp_path, victim))
    qemu.driver.decompose(victim.ref, volumes_of(victim))
    assert qemu.volumes() == set(volumes_of(attacker))
    qemu.driver.decompose(attacker.ref, volumes_of(attacker))
    assert qemu.volumes() == set()


def test_a_forged_header_keeps_no_orphaned_volume(
    qemu: QemuFixture, attacker: GuestSpec, victim: GuestSpec, tmp_path: Path
) -> None:
    forge(disk(tmp_path, attacker), disk(tmp_path, victim))
    qemu.administrator.lookupByName(victim.name).undefine()
    ((pool_id, name),) = volumes_of(victim)
    qemu.driver.remove_volumes(victim.marker, [VolumeRef(pool_id=pool_id, name=name)])
    assert not disk(tmp_path, victim).exists()


def test_a_forged_header_keeps_no_copy_of_an_image(qemu: QemuFixture, attacker: GuestSpec, tmp_path: Path) -> None:
    source = Content(b"bootable" * 64)
    qemu.driver.copy_image(source.image, qemu.pool_id, source)
    (copy,) = (path for path in tmp_path.glob("ik-image-*") if not path.name.endswith("-complete"))
    forge(disk(tmp_path, attacker), copy)
    qemu.driver.remove_image(source.image.sha256, qemu.pool_id)
    assert list(tmp_path.glob("ik-image-*")) == []


def test_a_raw_disk_of_a_foreign_guest_is_not_believed(qemu: QemuFixture, victim: GuestSpec, tmp_path: Path) -> None:
    name = f"{qemu.prefix}foreign"
    qemu.make_foreign(name)
    forge(tmp_path / f"{name}-disk", disk(tmp_path, victim))
    qemu.driver.decompose(victim.ref, volumes_of(victim))
    assert not disk(tmp_path, victim).exists()


@pytest.mark.parametrize("used", [True, False], ids=["of a guest", "of nobody"])
def test_the_base_of_an_overlay_stays(qemu: QemuFixture, victim: GuestSpec, tmp_path: Path, *, used: bool) -> None:
    overlay = tmp_path / "overlay.qcow2"
    overlay.write_bytes(overlay_head(disk(tmp_path, victim), size_bytes=victim.disks[0].size_bytes))
    if used:
        qemu.make_foreign(f"{qemu.prefix}clone")
        element = disk_element("vdb", str(overlay))
        element.find("driver").set("type", "qcow2")  # type: ignore[union-attr]  # it was just made
        qemu.attach(qemu.administrator.lookupByName(f"{qemu.prefix}clone"), element)
    qemu.driver.decompose(victim.ref, volumes_of(victim))
    assert disk(tmp_path, victim).exists()
    ((pool_id, name),) = volumes_of(victim)
    with pytest.raises(WrongState, match=r"by overlay\.qcow2"):
        qemu.driver.remove_volumes(victim.marker, [VolumeRef(pool_id=pool_id, name=name)])


def test_an_overlay_keeps_its_base_behind_a_symbolic_link(
    qemu: QemuFixture, victim: GuestSpec, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    link = tmp_path_factory.mktemp("elsewhere") / "images"
    link.symlink_to(tmp_path)
    (tmp_path / "overlay.qcow2").write_bytes(overlay_head(disk(link, victim), size_bytes=victim.disks[0].size_bytes))
    qemu.driver.decompose(victim.ref, volumes_of(victim))
    assert disk(tmp_path, victim).exists()


def test_a_serial_log_that_begins_like_an_image_is_read(qemu: QemuFixture, attacker: GuestSpec, tmp_path: Path) -> None:
    content = overlay_head("", size_bytes=2**40)[:104] + b"\nlogin: "
    (tmp_path / serial_log_name(attacker.marker)).write_bytes(content)
    qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id).refresh()
    assert qemu.driver.console_log(attacker.ref, max_bytes=7) == b"login: "

"""Moves of disks on real libvirt: what goes with the root disk, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree as ET

import libvirt
import pytest
from attrs import evolve

from common.disks.volume_names import seed_name, serial_log_name
from common.errors import Unsupported, WrongState
from common.guests.guest_spec import DiskSpec
from tests.contract.disks.test_disk_changes_contract import composed, disk_of, sizes_in, sizes_of
from tests.contract.disks.test_disk_moves_contract import copy, copy_of, moved, remove, use
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture
from tests.contract.support.guest_samples import volumes_of
from tests.support.disk_images import overlay_head

if TYPE_CHECKING:
    from tests.contract.support.libvirt_fixtures import QemuFixture

pytestmark = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id == "libvirt-qemu"], indirect=True)
SPARSE_BYTES = 256 * 1024 * 1024


def administrator(host: CapableFixture) -> libvirt.virConnect:
    return cast("QemuFixture", host).administrator


def names_in(host: CapableFixture, pool_id: str) -> set[str]:
    pool = administrator(host).storagePoolLookupByUUIDString(pool_id)
    pool.refresh()
    return {volume.name() for volume in pool.listAllVolumes()}


def file_of(host: CapableFixture, disk: DiskSpec) -> Path:
    pool = administrator(host).storagePoolLookupByUUIDString(disk.pool_id)
    return Path(pool.storageVolLookupByName(disk.volume).path())


def test_the_serial_log_and_the_seed_go_with_the_root_disk(host: CapableFixture) -> None:
    pool_id = host.second_pool()
    spec = evolve(composed(host, "plain"), name=f"{host.prefix}seeded")
    host.driver.decompose(spec.ref, volumes_of(spec))
    spec = evolve(spec, nics=host.addressed[1:])
    host.driver.compose(spec)
    companions = {seed_name(spec.marker), serial_log_name(spec.marker)}
    assert companions <= names_in(host, host.pool_id)
    addresses = [host.assigned_address(spec.ref, nic) for nic in spec.nics]
    moved(host, spec, 0, pool_id)
    assert companions <= names_in(host, pool_id)
    assert companions & names_in(host, host.pool_id) == set()
    remove(host, spec, spec.disks[0])
    tree = ET.fromstring(administrator(host).lookupByName(spec.name).XMLDesc())  # noqa: S314  trusted: of the test
    paths = [one.get("file", "") for one in (*tree.iterfind("devices/disk/source"), *tree.iterfind("devices/*/log"))]
    assert len({Path(one).parent for one in paths}) == 1
    assert all(Path(one).exists() for one in paths)
    assert addresses
    after = copy_of(host, spec, 0, pool_id)
    host.driver.decompose(spec.ref, ((pool_id, after.volume),))
    assert names_in(host, pool_id) == set()


def test_a_moved_disk_stays_sparse(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host)
    disk = evolve(disk_of(host, spec), size_bytes=SPARSE_BYTES)
    host.driver.attach_disk(spec.ref, disk, 1, create=True)
    spec = evolve(spec, disks=(*spec.disks, disk))
    content = host.write_content(spec, disk)
    after = moved(host, spec, 1, pool_id)
    assert host.content_of(after, after.disks[1]) == content
    found = file_of(host, after.disks[1]).stat()
    assert (found.st_size, found.st_blocks * 512 < SPARSE_BYTES // 8) == (SPARSE_BYTES, True)


def test_what_looks_like_an_image_is_not_converted(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    with file_of(host, spec.disks[1]).open("r+b") as file:
        file.write(overlay_head("", size_bytes=2**40))
    with pytest.raises(Unsupported, match="qcow2"):
        copy(host, spec, spec.disks[1], copy_of(host, spec, 1, pool_id))
    assert sizes_in(host, spec) == sizes_of(*spec.disks)


def test_two_pools_of_one_folder_lose_nothing(host: CapableFixture, tmp_path_factory: pytest.TempPathFactory) -> None:
    second, spec = host.second_pool(), composed(host, disks=2)
    content = host.write_content(spec, spec.disks[1])
    link = tmp_path_factory.mktemp("link") / "pool"
    link.symlink_to(file_of(host, spec.disks[1]).parent)
    pool = administrator(host).storagePoolCreateXML(
        f"<pool type='dir'><name>{host.prefix}link</name><target><path>{link}</path></target></pool>"
    )
    try:
        with pytest.raises(WrongState, match="both have a volume"):
            copy(host, spec, spec.disks[1], copy_of(host, spec, 1, pool.UUIDString()))
    finally:
        pool.destroy()
    assert host.content_of(spec, spec.disks[1]) == content
    moved(host, spec, 1, second)


def test_a_guest_with_saved_memory_keeps_its_disks(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2, on=True)
    domain = administrator(host).lookupByName(spec.name)
    domain.managedSave()
    made = copy_of(host, spec, 1, pool_id)
    with pytest.raises(WrongState, match="virsh managedsave-remove"):
        copy(host, spec, spec.disks[1], made)
    domain.managedSaveRemove()
    use(host, spec, spec.disks[1], made, copy(host, spec, spec.disks[1], made))

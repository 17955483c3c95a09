"""Adopted disks that are qcow2 images, on real libvirt: they move, and are attached again, with their content."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.errors import Unsupported, WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.values import PowerAction
from tests.contract.disks.test_disk_changes_contract import attach, composed, detach, disk_of, listed, switch
from tests.contract.disks.test_disk_moves_contract import copy, copy_of, use
from tests.contract.libvirt.test_libvirt_disk_moves import administrator, names_in
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture
from tests.contract.support.guest_samples import DISK_BYTES
from tests.support.disk_images import overlay_head, qcow2

if TYPE_CHECKING:
    from tests.contract.support.libvirt_fixtures import QemuFixture

pytestmark = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id == "libvirt-qemu"], indirect=True)
CONTENT = hashlib.sha256(b"seed").digest() * (DISK_BYTES // 64) + bytes(DISK_BYTES // 2)


def with_image(host: CapableFixture, folder: Path) -> tuple[GuestSpec, DiskSpec]:
    """Returns a guest, and its second disk: an image that an administrator made and attached."""
    spec = composed(host)
    image = evolve(disk_of(host, spec), volume=f"{host.prefix}later.qcow2")
    put(host, image.volume, qcow2(folder / "image.qcow2", data=CONTENT))
    domain = administrator(host).lookupByName(spec.name)
    device = ET.fromstring(  # noqa: S314  trusted: of the test
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
        f"<source file='{folder_of(host) / image.volume}'/><target dev='vdb' bus='virtio'/></disk>"
    )
    cast("QemuFixture", host).attach(domain, device)
    return evolve(spec, disks=(*spec.disks, image)), image


def folder_of(host: CapableFixture) -> Path:
    pool = ET.fromstring(administrator(host).storagePoolLookupByUUIDString(host.pool_id).XMLDesc())  # noqa: S314
    return Path(pool.findtext("target/path", ""))


def put(host: CapableFixture, name: str, data: bytes) -> None:
    """Writes a file into the folder of the storage pool, as an administrator does."""
    (folder_of(host) / name).write_bytes(data)
    (folder_of(host) / name).chmod(0o666)
    names_in(host, host.pool_id)


def formats(host: CapableFixture, spec: GuestSpec) -> list[str | None]:
    tree = ET.fromstring(administrator(host).lookupByName(spec.name).XMLDesc())  # noqa: S314  trusted: of the test
    return [driver.get("type") for driver in tree.iterfind("devices/disk[@device='disk']/driver")]


@pytest.mark.parametrize("is_on", [False, True], ids=["off", "on"])
def test_an_image_moves_and_is_raw_then(host: CapableFixture, tmp_path: Path, is_on: bool) -> None:
    pool_id = host.second_pool()
    spec, image = with_image(host, tmp_path)
    made = copy_of(host, spec, 1, pool_id)
    if is_on:
        switch(host, spec, PowerAction.ON)
    use(host, spec, image, made, copy(host, spec, image, made))
    assert formats(host, spec) == ["raw", "raw"]
    switch(host, spec, PowerAction.FORCE_OFF)
    assert formats(host, spec) == ["raw", "raw"]
    assert host.content_of(spec, made) == hashlib.sha256(CONTENT).hexdigest()
    assert image.volume in names_in(host, host.pool_id)
    assert [disk.size_bytes for disk in listed(host, spec).disks][1] == DISK_BYTES


def test_an_image_is_attached_again_as_one(host: CapableFixture, tmp_path: Path) -> None:
    spec, image = with_image(host, tmp_path)
    detach(host, spec, image)
    for action in (PowerAction.FORCE_OFF, PowerAction.ON):
        switch(host, spec, action)
        attach(host, spec, image, 1, create=False)
        assert formats(host, spec) == ["raw", "qcow2"]
        switch(host, spec, PowerAction.FORCE_OFF)
        assert [disk.size_bytes for disk in listed(host, spec).disks][1] == DISK_BYTES
        detach(host, spec, image)


def test_an_image_with_snapshots_is_attached_and_stays_where_it_is(host: CapableFixture, tmp_path: Path) -> None:
    pool_id = host.second_pool()
    spec, image = with_image(host, tmp_path)
    subprocess.run(["qemu-img", "snapshot", "-c", "before", folder_of(host) / image.volume], check=True)
    with pytest.raises(Unsupported, match=r"has snapshots, which a copy would not have"):
        copy(host, spec, image, copy_of(host, spec, 1, pool_id))
    detach(host, spec, image)
    attach(host, spec, image, 1, create=False)
    assert formats(host, spec) == ["raw", "qcow2"]


def test_what_only_looks_like_an_image_is_not_attached(host: CapableFixture, tmp_path: Path) -> None:
    """The system of a raw disk can write anything at its beginning, such as the name of a file of the host."""
    spec, image = with_image(host, tmp_path)
    detach(host, spec, image)
    with pytest.raises(WrongState, match=r"begins like a qcow2 image of .* --subdriver raw or qcow2"):
        attach(host, spec, evolve(image, size_bytes=2 * DISK_BYTES), 1, create=False)
    put(host, image.volume, overlay_head("/etc/hostname", size_bytes=DISK_BYTES))
    with pytest.raises(Unsupported, match=r"based on another image.*virsh blockpull"):
        attach(host, spec, image, 1, create=False)
    assert formats(host, spec) == ["raw"]


def test_a_raw_disk_with_the_header_of_an_image_of_its_own_size_is_no_image(
    host: CapableFixture, tmp_path: Path
) -> None:
    """Its guest wrote that."""
    spec, image = with_image(host, tmp_path)
    detach(host, spec, image)
    overlay = overlay_head("", size_bytes=DISK_BYTES)
    header = overlay[:8] + bytes(12) + overlay[20:]  # without a backing file
    for length in (DISK_BYTES, DISK_BYTES - 511):
        put(host, image.volume, header.ljust(length, b"\0"))
        with pytest.raises(WrongState, match=rf"is {length} bytes long.* --subdriver raw or qcow2"):
            attach(host, spec, image, 1, create=False)
    assert formats(host, spec) == ["raw"]

"""ISO images of the region in the drive of a guest: put in, replaced, taken out, and booted from."""

from __future__ import annotations

import hashlib
from io import BytesIO

import pytest

from common.boot import BootDevice, IsoState
from common.errors import ImageMissing, NotFound, Unsupported
from common.guests.deployment_spec import ImageFormat, ImageRef
from common.guests.guest_spec import GuestSpec
from common.values import Guest, PowerAction
from tests.contract.disks.test_disk_moves_contract import moved
from tests.contract.support.driver_fixtures import EVERY_HOST, FIXTURES, CapableFixture, DriverFixture, spec_for

GRACE_S = 0.1
# LXD 5.0 has no volumes of ISO images, and libvirt's test driver takes no content.
HAVING = (
    "simulated", "libvirt-qemu", "lxd-6-double", "incus-double", "incus-6", "incus-7", "incus-6-cluster",
    "incus-7-cluster",
)  # fmt: skip
REFUSING = ("lxd-double", "lxd", "lxd-cluster")
HAS_ISO_IMAGES = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in HAVING], indirect=True)
REFUSES_ISO_IMAGES = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in REFUSING], indirect=True)


class Content:
    """An empty ISO 9660 image."""

    def __init__(self, title: bytes) -> None:
        self._bytes = bytes(16 * 2048) + b"\x01CD001\x01" + title.ljust(2041, b"\0") + bytes(2048)

    def read(self, offset: int, size: int) -> bytes:
        stream = BytesIO(self._bytes)
        stream.seek(offset)
        return stream.read(size)

    @property
    def ref(self) -> ImageRef:
        size = len(self._bytes)
        sha256 = hashlib.sha256(self._bytes).hexdigest()
        return ImageRef(sha256=sha256, size_bytes=size, virtual_size_bytes=size, format=ImageFormat.RAW, iso=True)


def copied(host: DriverFixture, title: bytes) -> str:
    content = Content(title)
    host.driver.copy_image(content.ref, host.pool_id, content)
    return content.ref.sha256


def composed(host: DriverFixture, *, on: bool = False) -> GuestSpec:
    spec = spec_for(host, "iso")
    host.driver.compose(spec)
    if on:
        host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    return spec


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    guest = next(guest for guest in host.driver.discover().guests if guest.marker == spec.marker)
    found = host.driver.find(spec.ref)
    assert found is not None
    assert found.iso == guest.iso
    return guest


def copies_of(host: DriverFixture, sha256: str) -> list[tuple[str, int, bool]]:
    copies = host.driver.discover().image_copies
    return [(one.pool_id, one.size_bytes, one.complete) for one in copies if one.sha256 == sha256]


@pytest.mark.clusters
@HAS_ISO_IMAGES
def test_images_go_in_and_out_of_a_guest_that_is_off(host: DriverFixture) -> None:
    spec, first, second = composed(host), copied(host, b"first"), copied(host, b"second")
    before = listed(host, spec)
    assert host.driver.insert_iso(spec.ref, first, host.pool_id, check_only=True) == IsoState(now="", after="")
    for sha256 in (first, first, second):
        assert host.driver.insert_iso(spec.ref, sha256, host.pool_id) == IsoState(now=sha256, after=sha256)
        assert listed(host, spec).iso == sha256
    assert listed(host, spec).disks == before.disks
    for _ in range(2):
        assert host.driver.eject_iso(spec.ref) == IsoState(now="", after="")
    assert listed(host, spec) == before
    assert {one.sha256 for one in host.driver.discover().image_copies} >= {first, second}


@pytest.mark.clusters
@HAS_ISO_IMAGES
def test_a_running_guest_has_the_image_now_or_at_its_next_start(host: DriverFixture) -> None:
    spec, sha256 = composed(host, on=True), copied(host, b"running")
    state = host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    assert (state.after, state.runs) == (sha256, True)
    assert state.now in {sha256, ""}
    assert listed(host, spec).iso == state.now
    host.driver.power(spec.ref, PowerAction.CYCLE, grace_s=GRACE_S)
    assert listed(host, spec).iso == sha256


@HAS_ISO_IMAGES
def test_a_guest_boots_from_the_image_while_it_has_one(host: DriverFixture) -> None:
    spec, sha256 = composed(host), copied(host, b"boots")
    host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    order = host.driver.set_boot_order(spec.ref, (BootDevice.ISO, BootDevice.DISK)).order
    assert order[:2] == (BootDevice.ISO, BootDevice.DISK)
    assert listed(host, spec).boot_order == order
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=GRACE_S)
    host.driver.eject_iso(spec.ref)
    assert listed(host, spec).boot_order == tuple(one for one in order if one is not BootDevice.ISO)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)


@HAS_ISO_IMAGES
def test_a_seed_is_no_image_of_the_drive(host: DriverFixture) -> None:
    spec = composed(host)
    assert listed(host, spec).iso == ""
    sha256 = copied(host, b"beside")
    host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    host.driver.undeploy(spec)
    assert listed(host, spec).iso == sha256


@pytest.mark.clusters
@HAS_ISO_IMAGES
def test_only_copied_images_and_guests_with_the_marker_count(host: DriverFixture) -> None:
    spec = spec_for(host, "iso")
    with pytest.raises(NotFound):
        host.driver.insert_iso(spec.ref, "0" * 64, host.pool_id)
    with pytest.raises(NotFound):
        host.driver.eject_iso(spec.ref)
    host.driver.compose(spec)
    with pytest.raises(ImageMissing):
        host.driver.insert_iso(spec.ref, "0" * 64, host.pool_id)
    assert listed(host, spec).iso == ""


@pytest.mark.clusters
@HAS_ISO_IMAGES
def test_guests_share_a_copy_which_is_removed_when_none_has_it(host: DriverFixture) -> None:
    spec, other, content = composed(host), spec_for(host, "iso2"), Content(b"shared")
    host.driver.compose(other)
    sha256 = copied(host, b"shared")
    for one in (spec, other):
        host.driver.insert_iso(one.ref, sha256, host.pool_id)
    assert copies_of(host, sha256) == [(host.pool_id, content.ref.size_bytes, True)]
    assert copied(host, b"shared") == sha256
    assert copies_of(host, sha256) == [(host.pool_id, content.ref.size_bytes, True)]
    assert listed(host, other).iso == sha256
    for one in (spec, other):
        host.driver.decompose(one.ref, tuple((disk.pool_id, disk.volume) for disk in one.disks))
    assert copies_of(host, sha256) == [(host.pool_id, content.ref.size_bytes, True)]
    for _ in range(2):
        host.driver.remove_image(sha256, host.pool_id)
        assert copies_of(host, sha256) == []


@pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in {"incus-6", "incus-7"}], indirect=True)
def test_a_root_disk_moves_to_another_pool_beside_an_image(host: CapableFixture) -> None:
    pool_id, spec, sha256 = host.second_pool(), composed(host), copied(host, b"moves")
    host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    after = moved(host, spec, 0, pool_id)
    assert listed(host, after).iso == sha256
    host.driver.power(after.ref, PowerAction.ON, grace_s=GRACE_S)


@REFUSES_ISO_IMAGES
def test_a_hypervisor_without_iso_images_says_so(host: DriverFixture) -> None:
    spec, content = composed(host), Content(b"refused")
    with pytest.raises(Unsupported, match="ISO images"):
        host.driver.copy_image(content.ref, host.pool_id, content)
    for check_only in (True, False):
        with pytest.raises(Unsupported, match="ISO images"):
            host.driver.insert_iso(spec.ref, "0" * 64, host.pool_id, check_only=check_only)
    assert host.driver.eject_iso(spec.ref) == IsoState(now="", after="")


@EVERY_HOST
@pytest.mark.doubles_suffice
def test_a_guest_without_an_image_does_not_boot_from_one(host: DriverFixture) -> None:
    spec = composed(host)
    with pytest.raises(Exception, match="no ISO image in a drive"):
        host.driver.set_boot_order(spec.ref, (BootDevice.ISO,))

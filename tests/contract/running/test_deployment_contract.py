"""Contract of deployments: images are copied once, root disks hold them, and are emptied again."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address

import pytest
from attrs import define, evolve

from common.errors import DriverFailed, ImageMissing, LinkLost, NotFound, OutOfCapacity, WrongState
from common.guests.deployment_spec import CloudInitSeed, ImageFormat, ImageRef
from common.guests.guest_spec import GuestSpec
from common.values import NicKind, PowerAction
from tests.contract.support.driver_fixtures import Capability, CapableFixture, requires, spec_for
from tests.contract.support.guest_samples import DISK_BYTES, volumes_of

pytestmark = requires(Capability.DEPLOYMENT)
MIB = 1024 * 1024
UNKNOWN_POOL = "3b2a1c00-0000-4000-8000-00000000dead"


@define
class Content:
    """The content of an image, in the region. Raises LinkLost from `lost_at` on."""

    data: bytes
    lost_at: int | None = None
    read_bytes: int = 0

    def read(self, offset: int, size: int) -> bytes:
        if self.lost_at is not None and offset >= self.lost_at:
            raise LinkLost("The rack has no link to any region.")
        part = self.data[offset : offset + size]
        self.read_bytes += len(part)
        return part

    @property
    def image(self) -> ImageRef:
        size = len(self.data)
        return ImageRef(
            sha256=hashlib.sha256(self.data).hexdigest(),
            size_bytes=size,
            virtual_size_bytes=size,
            format=ImageFormat.RAW,
        )


def content(word: bytes = b"Debian") -> Content:
    """2 MiB, half of it zeros."""
    return Content(word.ljust(512, b".") * 2048 + bytes(MIB))


def seed(user_data: bytes = b"#cloud-config\n{}\n") -> CloudInitSeed:
    return CloudInitSeed(meta_data='{"instance-id": "1"}', user_data=user_data, network_config='{"version": 2}')


def composed(host: CapableFixture, name: str) -> GuestSpec:
    spec = spec_for(host, name, disks=2)
    host.driver.compose(spec)
    return spec


def deployed(host: CapableFixture, name: str, source: Content) -> GuestSpec:
    spec = composed(host, name)
    host.driver.copy_image(source.image, host.pool_id, source)
    host.driver.deploy(spec, source.image, seed())
    return spec


@pytest.mark.clusters
def test_a_deployed_root_disk_has_the_image_and_its_own_size(host: CapableFixture) -> None:
    source = content()
    spec = deployed(host, "deployed", source)
    assert host.root_disk_holds(spec, source.image)
    assert host.user_data(spec) == seed().user_data
    found = host.driver.find(spec.ref)
    assert found is not None
    assert [disk.size_bytes for disk in found.disks] == [DISK_BYTES, DISK_BYTES]


@pytest.mark.parametrize("size_bytes", [1024, 200 * 1024])
def test_a_guest_has_its_user_data_or_the_short_form(host: CapableFixture, size_bytes: int) -> None:
    source, spec = content(), composed(host, "userdata")
    given = evolve(seed(b"#cloud-config\n{}\n".ljust(size_bytes, b"#")), short_user_data=b"#include-once\nhttp://a/\n")
    host.driver.copy_image(source.image, host.pool_id, source)
    shortened = host.driver.deploy(spec, source.image, given)
    assert host.user_data(spec) == (given.short_user_data if shortened else given.user_data)
    assert not (shortened and size_bytes == 1024)


def test_deploying_changes_no_nic_and_no_other_disk(host: CapableFixture) -> None:
    spec = composed(host, "same")
    before = host.driver.find(spec.ref)
    source = content()
    host.driver.copy_image(source.image, host.pool_id, source)
    host.driver.deploy(spec, source.image, seed())
    after = host.driver.find(spec.ref)
    assert before is not None
    assert after is not None
    assert after == evolve(before, boot_order=after.boot_order)  # it boots from the disk that was written


def with_address(host: CapableFixture, spec: GuestSpec, number: int) -> GuestSpec:
    """With one NIC, whose address the host's DHCP server reserves: that of the fixture, plus `number`."""
    one = host.addressed[0]
    assert one.address is not None
    address = evolve(one.address, address=str(ip_address(one.address.address) + number))
    mac_address = spec.nics[0].mac_address if spec.nics else one.mac_address
    return evolve(spec, nics=(evolve(one, address=address, mac_address=mac_address),))


def assigned(host: CapableFixture, spec: GuestSpec) -> str:
    return host.assigned_address(spec.ref, spec.nics[0])


def test_deploying_and_undeploying_reserve_the_address_that_is_wanted_then(host: CapableFixture) -> None:
    if host.addressed[0].kind is not NicKind.NETWORK:
        pytest.skip("requires a network with a DHCP server of the hypervisor")
    source, spec = content(), with_address(host, spec_for(host, "moved", disks=2), 0)
    host.driver.compose(spec)
    first = assigned(host, spec)
    host.driver.copy_image(source.image, host.pool_id, source)
    moved = with_address(host, spec, 1)
    for _ in range(2):
        host.driver.deploy(moved, source.image, seed())
        assert assigned(host, moved) == str(ip_address(first) + 1)
    other = with_address(host, spec_for(host, "other"), 0)
    other = evolve(other, nics=(evolve(other.nics[0], mac_address="52:54:00:00:00:7f"),))
    host.driver.compose(other)  # the address was released
    another = content(b"Other")
    host.driver.copy_image(another.image, host.pool_id, another)
    with pytest.raises(WrongState, match=first):
        host.driver.deploy(spec, another.image, seed())
    assert host.root_disk_holds(spec, source.image)
    host.driver.decompose(other.ref, volumes_of(other))
    for _ in range(2):
        host.driver.undeploy(spec)
        assert assigned(host, spec) == first


def test_addresses_change_without_the_disks(host: CapableFixture) -> None:
    if host.addressed[0].kind is not NicKind.NETWORK:
        pytest.skip("requires a network with a DHCP server of the hypervisor")
    spec = with_address(host, spec_for(host, "readdressed", disks=2), 0)
    host.driver.compose(spec)
    host.write_to_disks(spec)
    first, before = assigned(host, spec), host.driver.find(spec.ref)
    moved = with_address(host, spec, 1)
    for _ in range(2):
        host.driver.set_addresses(moved)
        assert assigned(host, moved) == str(ip_address(first) + 1)
    assert host.written_disks(spec) == (True, True)
    assert host.driver.find(spec.ref) == before
    other = with_address(host, spec_for(host, "other"), 0)
    other = evolve(other, nics=(evolve(other.nics[0], mac_address="52:54:00:00:00:7f"),))
    host.driver.compose(other)  # the address was released
    with pytest.raises(WrongState, match=first):
        host.driver.set_addresses(spec)
    host.driver.set_addresses(evolve(spec, nics=(evolve(spec.nics[0], address=None),)))
    assert assigned(host, spec) == ""


@pytest.mark.clusters
def test_an_image_is_read_once_for_many_deployments(host: CapableFixture) -> None:
    source = content()
    specs = [deployed(host, f"many{number}", source) for number in range(3)]
    assert source.read_bytes == len(source.data)
    assert all(host.root_disk_holds(spec, source.image) for spec in specs)


def test_deploying_again_replaces_image_and_user_data(host: CapableFixture) -> None:
    spec = deployed(host, "again", content())
    after_first = host.volumes()
    other = content(b"Ubuntu")
    host.driver.copy_image(other.image, host.pool_id, other)
    with_other = host.volumes()
    for _ in range(2):
        host.driver.deploy(spec, other.image, seed(b"#!/bin/sh\n"))
        assert host.root_disk_holds(spec, other.image)
        assert host.user_data(spec) == b"#!/bin/sh\n"
    assert host.volumes() == with_other > after_first


@pytest.mark.clusters
def test_an_interrupted_copy_is_no_image_and_leaves_nothing(host: CapableFixture) -> None:
    spec, source = composed(host, "interrupted"), content()
    before = host.volumes()
    with pytest.raises(LinkLost):
        host.driver.copy_image(source.image, host.pool_id, evolve(source, lost_at=MIB))
    assert host.volumes() == before
    with pytest.raises(ImageMissing):
        host.driver.deploy(spec, source.image, seed())
    host.driver.copy_image(source.image, host.pool_id, source)
    host.driver.deploy(spec, source.image, seed())
    assert host.root_disk_holds(spec, source.image)


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"!", lambda data: data[:MIB]], ids=["changed", "cut"])
def test_damaged_content_is_no_image_and_leaves_nothing(host: CapableFixture, damage: object) -> None:
    assert callable(damage)
    before, source = host.volumes(), content()
    with pytest.raises(DriverFailed, match="damaged"):
        host.driver.copy_image(source.image, host.pool_id, Content(damage(source.data)))
    assert host.volumes() == before


def test_a_copy_to_an_unknown_pool_names_it(host: CapableFixture) -> None:
    source = content()
    with pytest.raises(NotFound, match=UNKNOWN_POOL):
        host.driver.copy_image(source.image, UNKNOWN_POOL, source)
    assert source.read_bytes == 0


def test_deploying_requires_the_image_and_the_guest(host: CapableFixture) -> None:
    spec, source = composed(host, "without"), content()
    with pytest.raises(ImageMissing):
        host.driver.deploy(spec, source.image, seed())
    assert host.root_disk_holds(spec, None)
    host.driver.copy_image(source.image, host.pool_id, source)
    missing = spec_for(host, "missing")
    with pytest.raises(NotFound, match=missing.name):
        host.driver.deploy(missing, source.image, seed())
    for change in (host.driver.undeploy, host.driver.set_addresses):
        with pytest.raises(NotFound, match=missing.name):
            change(missing)


def test_a_running_guest_is_neither_deployed_nor_emptied(host: CapableFixture) -> None:
    source = content()
    spec = deployed(host, "running", source)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    with pytest.raises(WrongState, match=spec.name):
        host.driver.deploy(spec, source.image, seed(b"other"))
    for change in (host.driver.undeploy, host.driver.set_addresses):
        with pytest.raises(WrongState, match=spec.name):
            change(spec)
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    assert host.root_disk_holds(spec, source.image)
    assert host.user_data(spec) == seed().user_data


def test_an_image_larger_than_the_root_disk_changes_nothing(host: CapableFixture) -> None:
    source = content()
    spec = deployed(host, "larger", source)
    with pytest.raises(OutOfCapacity, match=str(DISK_BYTES + 1)):
        host.driver.deploy(spec, evolve(source.image, virtual_size_bytes=DISK_BYTES + 1), seed(b"other"))
    assert host.root_disk_holds(spec, source.image)
    assert host.user_data(spec) == seed().user_data


@pytest.mark.clusters
def test_undeploying_restores_what_compose_made(host: CapableFixture) -> None:
    spec = composed(host, "emptied")
    before, guest = host.volumes(), host.driver.find(spec.ref)
    source = content()
    host.driver.copy_image(source.image, host.pool_id, source)
    with_image = host.volumes()
    host.driver.deploy(spec, source.image, seed())
    for _ in range(2):
        host.driver.undeploy(spec)
        assert host.root_disk_holds(spec, None)
        assert host.user_data(spec) is None
        assert host.volumes() == with_image > before
        assert host.driver.find(spec.ref) == guest


def test_deploying_anew_keeps_what_is_on_the_other_disks(host: CapableFixture) -> None:
    second = content(b"Ubuntu")
    spec = deployed(host, "rebuilt", content())
    host.driver.copy_image(second.image, host.pool_id, second)
    host.write_to_disks(spec)
    guest, volumes = host.driver.find(spec.ref), host.volumes()
    for _ in range(2):
        host.driver.deploy(spec, second.image, seed())
        assert host.root_disk_holds(spec, second.image)
        assert host.written_disks(spec)[1:] == (True,)
        assert host.volumes() == volumes
        assert host.driver.find(spec.ref) == guest


def test_undeploying_keeps_what_is_on_the_other_disks(host: CapableFixture) -> None:
    spec = composed(host, "kept")
    host.write_to_disks(spec)
    assert host.written_disks(spec) == (True, True)
    host.driver.undeploy(spec)
    assert host.written_disks(spec) == (False, True)


@pytest.mark.parametrize("left", [slice(1, None), slice(0)], ids=["data-disk", "no-disk"])
def test_without_its_root_disk_no_other_disk_is_written(host: CapableFixture, left: slice) -> None:
    spec, source = composed(host, "rootless"), content()
    host.write_to_disks(spec)
    host.driver.copy_image(source.image, host.pool_id, source)
    rootless = evolve(spec, disks=spec.disks[left])
    for change in (
        lambda: host.driver.deploy(rootless, source.image, seed()),
        lambda: host.driver.undeploy(rootless),
        lambda: host.driver.undeploy(rootless, erase=True, overwrite=True),
    ):
        with pytest.raises(WrongState, match="does not have its root disk"):
            change()
    assert host.written_disks(spec) == (True, True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_erasing_empties_every_disk_and_changes_nothing_else(host: CapableFixture, *, overwrite: bool) -> None:
    spec = composed(host, "erased")
    before, guest = host.volumes(), host.driver.find(spec.ref)
    host.write_to_disks(spec)
    for _ in range(2):
        host.driver.undeploy(spec, erase=True, overwrite=overwrite)
        assert host.written_disks(spec) == (False, False)
        assert host.volumes() == before
        assert host.driver.find(spec.ref) == guest
    assert [one for one in host.driver.discover().orphaned_volumes if one.marker == spec.marker] == []


def test_decomposing_deletes_all_but_the_image(host: CapableFixture) -> None:
    source = content()
    host.driver.copy_image(source.image, host.pool_id, source)
    before = host.volumes()
    spec = deployed(host, "deleted", source)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert host.volumes() == before
    assert [one for one in host.driver.discover().orphaned_volumes if one.marker == spec.marker] == []


@pytest.mark.clusters
def test_discovery_reports_a_copy_until_it_is_removed(host: CapableFixture) -> None:
    source, before = content(), host.volumes()
    host.driver.copy_image(source.image, host.pool_id, source)
    found = host.driver.discover()
    (copy,) = [one for one in found.image_copies if one.sha256 == source.image.sha256]
    assert copy.complete
    assert copy.size_bytes > 0
    assert copy.pool_id in found.image_pools
    for _ in range(2):
        host.driver.remove_image(copy.sha256, copy.pool_id)
        assert source.image.sha256 not in {one.sha256 for one in host.driver.discover().image_copies}
        assert host.volumes() == before


def test_what_was_deployed_does_not_need_the_copy(host: CapableFixture) -> None:
    source = content()
    spec = deployed(host, "apart", source)
    for copy in host.driver.discover().image_copies:
        host.driver.remove_image(copy.sha256, copy.pool_id)
    assert host.root_disk_holds(spec, source.image)
    with pytest.raises(ImageMissing):
        host.driver.deploy(spec, source.image, seed())
    host.driver.copy_image(source.image, host.pool_id, source)
    host.driver.deploy(spec, source.image, seed(b"other"))
    assert host.user_data(spec) == b"other"


def test_removing_an_image_from_an_unknown_pool_changes_nothing(host: CapableFixture) -> None:
    source = content()
    host.driver.copy_image(source.image, host.pool_id, source)
    before = host.volumes()
    host.driver.remove_image(source.image.sha256, UNKNOWN_POOL)
    assert host.volumes() == before

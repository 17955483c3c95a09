"""The driver deploys on real libvirt: formats, firmware, boot order, addresses, and a kill at every call."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from attrs import evolve

from common.errors import OutOfCapacity
from common.guests.deployment_spec import CloudInitSeed, ImageFormat, ImageRef
from common.guests.guest_spec import GuestSpec
from common.values import NicKind, PowerAction
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.deployment.deployer import empty_disk, write_image
from rackd.drivers.libvirt.deployment.images import copy_image, find_image, remove_image
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.guests.disks.pools import guest_pool
from rackd.drivers.libvirt.image_names import STALE_AFTER_S
from tests.contract.running.test_deployment_contract import Content
from tests.contract.support.guest_samples import DISK_BYTES, nic, small_guest, volumes_of
from tests.contract.support.libvirt_fixtures import SYSTEM, QemuFixture
from tests.lab.conftest import INSTALLATION
from tests.lab.support.libvirt_specs import small_spec
from tests.support.disk_images import qcow2

MIB = 1024 * 1024
NVRAM = Path("/var/lib/libvirt/qemu/nvram")
SEED = CloudInitSeed(meta_data='{"instance-id": "1"}', user_data=b"#cloud-config\n{}\n", network_config="{}")


@pytest.fixture
def spec(qemu: QemuFixture) -> GuestSpec:
    """A composed guest with two disks, which boots from its NIC."""
    made = small_spec(qemu, "deployed", nics=(nic(0, NicKind.USER, boot=True),))
    wanted = evolve(made, disks=small_guest(made.name, made.marker, (qemu.pool_id,) * 2).disks)
    qemu.driver.compose(wanted)
    return wanted


def small_image() -> Content:
    return Content(b"bootable".ljust(512, b".") * 256)


def deploy(qemu: QemuFixture, spec: GuestSpec, source: Content, **fields: Any) -> ImageRef:
    image = evolve(source.image, **fields)
    qemu.driver.copy_image(image, qemu.pool_id, source)
    qemu.driver.deploy(spec, image, SEED)
    return image


def definition(qemu: QemuFixture, spec: GuestSpec) -> str:
    domain = qemu.administrator.lookupByUUIDString(str(spec.marker.machine_id))
    return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def image_volumes(qemu: QemuFixture) -> set[str]:
    return {name for _, name in qemu.volumes() if name.startswith("ik-image-")}


def test_a_qcow2_image_becomes_a_sparse_raw_disk_of_full_size(
    qemu: QemuFixture, spec: GuestSpec, tmp_path: Path
) -> None:
    written = b"partition table".ljust(MIB, b"!") + bytes(18 * MIB) + b"last".rjust(MIB, b"!")
    source = Content(qcow2(tmp_path / "image", "-c", data=written))
    deploy(qemu, spec, source, format=ImageFormat.QCOW2, virtual_size_bytes=len(written))
    disk = tmp_path / spec.disks[0].volume
    with disk.open("rb") as content:
        assert content.read(len(written)) == written
        assert not content.read().strip(b"\0")
    assert disk.stat().st_size == DISK_BYTES
    assert disk.stat().st_blocks * 512 < 4 * MIB
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", disk]))
    assert (info["format"], info["virtual-size"]) == ("raw", DISK_BYTES)
    for leftover in tmp_path.glob("image*"):
        leftover.unlink()


def test_a_raw_image_with_zeros_takes_no_space_for_them(qemu: QemuFixture, spec: GuestSpec, tmp_path: Path) -> None:
    content = Content(b"x" * MIB + bytes(30 * MIB) + b"y" * MIB)
    deploy(qemu, spec, content)
    (data,) = [name for name in image_volumes(qemu) if not name.endswith("-complete")]
    copy = tmp_path / data
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == content.image.sha256
    assert copy.stat().st_blocks * 512 < 4 * MIB
    assert (tmp_path / spec.disks[0].volume).stat().st_blocks * 512 < 4 * MIB


@pytest.mark.parametrize("options", [(), ("-c",)], ids=["plain", "compressed"])
def test_a_volume_that_is_a_block_device_gets_the_disk_itself(
    qemu: QemuFixture, spec: GuestSpec, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """A pool of this kind needs device-mapper or ZFS: this one only claims to be one."""
    disk = b"table".ljust(MIB, b"!") + bytes(3 * MIB) + b"last".rjust(512, b"!")
    source = Content(qcow2(tmp_path / "image", *options, data=disk))
    image = evolve(source.image, format=ImageFormat.QCOW2, virtual_size_bytes=len(disk))
    client = Client.open(SYSTEM)
    pool = evolve(guest_pool(client, qemu.pool_id), type="logical")
    copy_image(pool, image, source, now_s=0)
    found = find_image(pool, image)
    assert found is not None
    assert Path(found.path()).read_bytes() == disk
    written = write_image(pool, spec.disks[0], found)
    assert Path(written.path()).read_bytes() == disk.ljust(DISK_BYTES, b"\0")
    empty_disk(pool, spec.disks[0], overwrite=False)
    assert qemu.root_disk_holds(spec, None)
    client.close()
    for leftover in tmp_path.glob("image*"):
        leftover.unlink()


def test_an_image_that_does_not_fit_the_pool_is_not_read(qemu: QemuFixture) -> None:
    source = small_image()
    with pytest.raises(OutOfCapacity, match=str(2**60)):
        qemu.driver.copy_image(evolve(source.image, size_bytes=2**60), qemu.pool_id, source)
    assert (source.read_bytes, qemu.volumes()) == (0, set())


def test_a_lost_file_of_an_image_is_copied_again(qemu: QemuFixture, spec: GuestSpec, tmp_path: Path) -> None:
    source = small_image()
    deploy(qemu, spec, source)
    (data,) = [name for name in image_volumes(qemu) if not name.endswith("-complete")]
    (tmp_path / data).unlink()
    deploy(qemu, spec, source)
    assert qemu.root_disk_holds(spec, source.image)


@pytest.fixture
def variables(spec: GuestSpec) -> Iterator[Path]:
    """The file in which the host stores the UEFI variables of the guest."""
    file = NVRAM / f"{spec.name}_VARS.fd"
    yield file
    file.unlink(missing_ok=True)


def test_uefi_and_its_variables_end_with_the_guest(qemu: QemuFixture, spec: GuestSpec, variables: Path) -> None:
    source = small_image()
    deploy(qemu, spec, source, uefi=True)
    assert "firmware='efi'" in definition(qemu, spec)
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    assert variables.exists()
    running = qemu.administrator.lookupByName(spec.name).XMLDesc()
    assert "secure='yes'" not in running
    assert ".ms.fd" not in running
    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert not variables.exists()


def test_a_bios_image_after_a_uefi_one_boots_with_bios(qemu: QemuFixture, spec: GuestSpec, variables: Path) -> None:
    source = small_image()
    deploy(qemu, spec, source, uefi=True)
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    deploy(qemu, spec, source)
    assert "firmware='efi'" not in definition(qemu, spec)
    assert "pflash" not in definition(qemu, spec)
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert not variables.exists()


def test_saved_memory_of_the_old_system_is_not_resumed(qemu: QemuFixture, spec: GuestSpec) -> None:
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    domain = qemu.administrator.lookupByName(spec.name)
    domain.managedSave()
    deploy(qemu, spec, small_image())
    assert not domain.hasManagedSaveImage()


def test_undeploying_restores_boot_order_and_static_addresses(qemu: QemuFixture) -> None:
    leased, static = qemu.addressed
    made = small_spec(qemu, "addressed", nics=(evolve(leased, boot=True), static))
    qemu.driver.compose(made)
    before, seed_before = definition(qemu, made), qemu.assigned_address(made.ref, static)
    deploy(qemu, made, small_image(), virtual_size_bytes=4 * MIB)
    assert definition(qemu, made) != before
    assert qemu.user_data(made) == SEED.user_data
    qemu.driver.undeploy(made)
    assert definition(qemu, made) == before
    assert qemu.assigned_address(made.ref, static) == seed_before
    assert qemu.user_data(made) == b""


class RackKilledError(BaseException):
    """Not an Exception: nothing handles it, as nothing handles the end of a process."""


class DyingClient(Client):
    """Dies before its call number `calls_left`; what it would call to undo fails too."""

    calls_left = 0

    def call(self, what: str, function: Callable[..., Any], *arguments: object) -> Any:
        if self.calls_left == 0:
            raise RackKilledError(what)
        self.calls_left -= 1
        return super().call(what, function, *arguments)


def dies_after(calls: int, work: Callable[[Client], None]) -> bool:
    """Returns whether a rack that dies after so many calls to libvirt finished `work`."""
    client = DyingClient(libvirt.open(SYSTEM))
    client.calls_left = calls
    try:
        work(client)
    except RackKilledError:
        return False
    finally:
        client.connection.close()
    return True


def driver_of(client: Client) -> LibvirtDriver:
    return LibvirtDriver(lambda: client, INSTALLATION)


def test_a_rack_killed_at_any_call_is_repeated_to_the_same_end(qemu: QemuFixture, spec: GuestSpec) -> None:
    source = small_image()
    composed, volumes = qemu.driver.find(spec.ref), qemu.volumes()

    def deploy_all(driver: LibvirtDriver) -> None:
        driver.copy_image(source.image, qemu.pool_id, source)
        driver.deploy(spec, source.image, SEED)

    calls, finished = 0, False
    while not finished:
        finished = dies_after(calls, lambda client: deploy_all(driver_of(client)))
        deploy_all(qemu.driver)
        assert qemu.root_disk_holds(spec, source.image), calls
        assert qemu.user_data(spec) == SEED.user_data
        dies_after(calls, lambda client: driver_of(client).undeploy(spec, erase=True))
        qemu.driver.undeploy(spec, erase=True)
        assert qemu.root_disk_holds(spec, None), calls
        assert qemu.user_data(spec) is None
        assert qemu.driver.find(spec.ref) == composed
        assert {one for one in qemu.volumes() if not one[1].startswith("ik-image-")} == volumes
        forget_images(qemu)
        calls += 1
    assert calls > 20


def forget_images(qemu: QemuFixture) -> None:
    for name in image_volumes(qemu):
        qemu.administrator.storagePoolLookupByUUIDString(qemu.pool_id).storageVolLookupByName(name).delete()


def test_what_a_killed_rack_left_is_removed_after_a_while(qemu: QemuFixture) -> None:
    started_at_s = 1_800_000_000.0

    def copy(client: Client, word: bytes, after_s: float = 0.0) -> None:
        source = Content(word * 512)
        copy_image(guest_pool(client, qemu.pool_id), source.image, source, now_s=started_at_s + after_s)

    calls = 0
    while not image_volumes(qemu):
        assert not dies_after(calls, lambda client: copy(client, b"killed"))
        calls += 1
    left = image_volumes(qemu)
    client, sha256 = Client.open(SYSTEM), Content(b"killed" * 512).image.sha256
    assert {one.complete for one in qemu.driver.discover().image_copies if one.sha256 == sha256} == {False}
    copy(client, b"soon", 1)
    remove_image(client, guest_pool(client, qemu.pool_id), sha256, now_s=started_at_s + STALE_AFTER_S)
    assert left < image_volumes(qemu)  # another rack could be writing it
    copy(client, b"later", STALE_AFTER_S + 1)
    assert left.isdisjoint(image_volumes(qemu))
    client.close()


def test_an_abandoned_copy_is_removed_on_its_own(qemu: QemuFixture) -> None:
    client, source = Client.open(SYSTEM), Content(b"whole" * 512)
    pool = guest_pool(client, qemu.pool_id)
    copy_image(pool, source.image, source, now_s=1_800_000_000)
    complete = next(name for name in image_volumes(qemu) if name.endswith("-complete"))
    pool.pool.volume(complete).delete()  # type: ignore[union-attr]  # it was just listed
    remove_image(client, pool, source.image.sha256, now_s=1_800_000_000 + STALE_AFTER_S + 1)
    assert image_volumes(qemu) == set()
    client.close()

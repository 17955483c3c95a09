"""Machines on the types of LXD storage pools that this kernel supports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from common.errors import OutOfCapacity, Unsupported
from common.values import PowerAction, PowerState
from rackd.drivers.lxd.driver import LxdDriver
from tests.contract.running.test_deployment_contract import content, seed
from tests.contract.support.guest_samples import DISK_BYTES, volumes_of
from tests.lab.servers.host_setup import run
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.servers.needs import LAB_DIR, require, why_no_lxd_pool
from tests.lab.support.lxd_specs import small_spec

GIB = 1024**3
FILE_POOLS = ("dir", "btrfs")  # where disks are files that the test can write to


@pytest.fixture(params=["dir", "btrfs", "lvm", "zfs"])
def pool(request: pytest.FixtureRequest, lxd: LxdServer) -> Iterator[str]:
    require(why_no_lxd_pool(request.param))
    before = loop_devices()
    with lxd.pool(request.param) as name:
        yield name
    assert loop_devices() == before


def loop_devices() -> list[str]:
    return [line for line in run("losetup", "--all").splitlines() if str(LAB_DIR) in line]


def test_disks_are_block_devices_and_leave_no_residue(
    lxd: LxdServer, driver: LxdDriver, pool: str, prefix: str
) -> None:
    spec = small_spec(f"{prefix}two", (pool, pool))
    guest = driver.compose(spec)
    assert [(disk.pool_id, disk.volume, disk.size_bytes) for disk in guest.disks] == [
        (pool, disk.volume, DISK_BYTES) for disk in spec.disks
    ]
    shown = lxd.lxc("config", "show", spec.name)
    assert f'size: "{DISK_BYTES}"' in shown
    assert f"source: {spec.disks[1].volume}" in shown
    volume = lxd.lxc("storage", "volume", "show", pool, f"custom/{spec.disks[1].volume}")
    assert "content_type: block" in volume
    assert driver.power(spec.ref, PowerAction.ON, grace_s=1) is PowerState.ON
    devices = lxd.devices_of(spec.name)
    for disk in spec.disks:
        assert f'serial = "{disk.serial}"' in devices
    driver.decompose(spec.ref, volumes_of(spec))
    assert lxd.ask(f"/1.0/storage-pools/{pool}/volumes") == []


def test_a_pool_rejects_more_than_its_capacity(lxd: LxdServer, driver: LxdDriver, pool: str, prefix: str) -> None:
    total = next(one.total_bytes for one in driver.discover().facts.storage_pools if one.pool_id == pool)
    spec = small_spec(f"{prefix}big", (pool, pool))
    root, data = spec.disks
    with pytest.raises(OutOfCapacity, match=pool):
        driver.compose(evolve(spec, disks=(root, evolve(data, size_bytes=total))))
    assert lxd.ask(f"/1.0/storage-pools/{pool}/volumes") == []
    assert lxd.instances(prefix) == set()


@pytest.mark.parametrize("overwrite", [False, True])
def test_erased_disks_are_empty(lxd: LxdServer, driver: LxdDriver, pool: str, prefix: str, *, overwrite: bool) -> None:
    """LXD's LVM pools are thin by default: there too, a new volume shows nothing of an earlier one."""
    spec = small_spec(f"{prefix}erased", (pool, pool))
    guest = driver.compose(spec)
    files = [file for file in lxd.volume_files(pool, spec.name, spec.disks[1].volume) if file.exists()]
    assert len(files) == (2 if pool.split("-")[1] in FILE_POOLS else 0)
    for file in files:
        with file.open("r+b") as disk:
            disk.write(b"secret")
    driver.undeploy(spec, erase=True, overwrite=overwrite)
    assert driver.find(spec.ref) == guest
    assert [b"secret" in file.read_bytes() for file in files] == [False] * len(files)
    driver.decompose(spec.ref, volumes_of(spec))
    assert lxd.ask(f"/1.0/storage-pools/{pool}/volumes") == []


def test_lvm_without_thin_volumes_refuses_to_overwrite(lxd: LxdServer, driver: LxdDriver, prefix: str) -> None:
    require(why_no_lxd_pool("lvm"))
    with lxd.pool("lvm", "lvm.use_thinpool=false") as pool:
        spec = small_spec(f"{prefix}thick", (pool, pool))
        guest = driver.compose(spec)
        with pytest.raises(Unsupported, match=pool):
            driver.undeploy(spec, erase=True, overwrite=True)
        assert driver.find(spec.ref) == guest
        driver.undeploy(spec, erase=True)
        assert driver.find(spec.ref) == guest
        driver.decompose(spec.ref, volumes_of(spec))
        assert lxd.ask(f"/1.0/storage-pools/{pool}/volumes") == []


def test_an_unpacked_image_counts_once_and_goes_with_the_image(
    lxd: LxdServer, driver: LxdDriver, pool: str, prefix: str
) -> None:
    source = content()
    spec = small_spec(f"{prefix}image", (pool,))
    driver.compose(spec)
    driver.copy_image(source.image, pool, source)
    assert [copy.pool_id for copy in driver.discover().image_copies] == [""]
    driver.deploy(spec, source.image, seed())
    found = driver.discover()
    in_pool = [copy.size_bytes for copy in found.image_copies if copy.pool_id == pool]
    facts = next(one for one in found.facts.storage_pools if one.pool_id == pool)
    assert in_pool == ([] if facts.type == "dir" else [len(source.data)])
    assert facts.type == "dir" or facts.used_elsewhere_bytes <= GIB
    driver.remove_image(source.image.sha256, "")
    assert driver.discover().image_copies == ()
    driver.decompose(spec.ref, volumes_of(spec))
    assert lxd.ask(f"/1.0/storage-pools/{pool}/volumes") == []

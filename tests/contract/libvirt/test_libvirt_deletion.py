"""What libvirt's driver deletes, keeps and refuses beyond the contract of all drivers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from attrs import evolve

from common.errors import DriverFailed, WrongState
from common.guests.guest_spec import GuestSpec
from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts
from common.values import PowerAction, PowerState
from tests.contract.libvirt.test_libvirt_shared_volumes import another_uses, path_of
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture, spec_for

if TYPE_CHECKING:
    from tests.contract.support.libvirt_fixtures import QemuFixture

QEMU = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id == "libvirt-qemu"], indirect=True)


def composed(host: CapableFixture, *, in_pools: tuple[str, ...] = ()) -> GuestSpec:
    pools = in_pools or (host.pool_id,)
    spec = spec_for(host, "goes", disks=len(pools))
    disks = [evolve(disk, pool_id=pool_id) for disk, pool_id in zip(spec.disks, pools, strict=True)]
    spec = evolve(spec, disks=tuple(disks))
    host.driver.compose(spec)
    return spec


@QEMU
def test_nothing_is_deleted_while_one_of_the_pools_is_inactive(host: CapableFixture) -> None:
    pool = cast("QemuFixture", host).defined_pool()
    spec = composed(host, in_pools=(host.pool_id, pool.UUIDString()))
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0)
    volumes = host.volumes()
    pool.destroy()
    with pytest.raises(
        WrongState, match=rf"Nothing was deleted.*{spec.disks[1].volume}.*virsh pool-start {pool.name()}"
    ):
        host.driver.decompose(spec.ref)
    assert (administrator(host).lookupByName(spec.name).isActive(), host.volumes()) == (True, volumes)
    pool.create()
    host.driver.decompose(spec.ref)
    assert (host.driver.find(spec.ref), pool.listVolumes()) == (None, [])
    assert (host.pool_id, spec.disks[0].volume) not in host.volumes()


def administrator(host: CapableFixture) -> Any:
    return cast("QemuFixture", host).administrator


def facts(host: CapableFixture, spec: GuestSpec) -> RemovalFacts:
    (listed,) = [guest for guest in host.driver.discover().guests if guest.name == spec.name]
    found = host.driver.find(spec.ref)
    assert found is not None
    assert found.removal == listed.removal
    return listed.removal


def snapshot(host: CapableFixture, spec: GuestSpec, name: str, *diskspecs: str) -> None:
    made = ["virsh", "snapshot-create-as", spec.name, name, "--disk-only"]
    subprocess.run([*made, *(part for one in diskspecs for part in ("--diskspec", one))], check=True)
    administrator(host).storagePoolLookupByUUIDString(host.pool_id).refresh()


@QEMU
def test_a_guest_without_anything_else_has_no_facts(host: CapableFixture) -> None:
    assert facts(host, composed(host)) == NO_REMOVAL_FACTS


@QEMU
def test_saved_memory_is_known_and_goes_with_the_guest(host: CapableFixture) -> None:
    spec = composed(host)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0)
    administrator(host).lookupByName(spec.name).managedSave()
    assert facts(host, spec) == RemovalFacts(saved_memory=True)
    host.driver.decompose(spec.ref)
    assert host.driver.find(spec.ref) is None


@QEMU
def test_a_volume_that_another_guest_has_is_known_to_stay(host: CapableFixture) -> None:
    spec = composed(host, in_pools=(host.pool_id, host.pool_id))
    another_uses(host, spec.disks[1].volume)
    assert facts(host, spec) == RemovalFacts(shared_volumes=(f"{host.pool_id}/{spec.disks[1].volume}",))


@QEMU
def test_a_disk_in_an_inactive_pool_forbids_the_deletion(host: CapableFixture) -> None:
    pool = cast("QemuFixture", host).defined_pool()
    spec = composed(host, in_pools=(host.pool_id, pool.UUIDString()))
    pool.destroy()
    assert facts(host, spec).protection == (
        f"Its disk {spec.disks[1].volume} is in the storage pool {pool.name()}, which is not active. On that host: "
        f"virsh pool-start {pool.name()}. If what was stored there is lost: virsh pool-undefine {pool.name()}."
    )


@QEMU
@pytest.mark.parametrize("elsewhere", [False, True], ids=["beside", "elsewhere"])
def test_snapshots_and_what_they_leave_are_known(host: CapableFixture, *, elsewhere: bool) -> None:
    """An external snapshot of a guest that is off: its XML then names the upper image only."""
    spec = composed(host, in_pools=(host.pool_id, host.pool_id)) if elsewhere else composed(host)
    name, base = spec.disks[0].volume, Path(path_of(host, spec.disks[0].volume))
    layer = base.with_name(f"{host.prefix}layer.qcow2") if elsewhere else base.with_name(f"{name}.before")
    where = f",file={layer}" if elsewhere else ""
    snapshot(host, spec, "before", f"vda,snapshot=external{where}", *(["vdb,snapshot=no"] if elsewhere else []))
    assert facts(host, spec) == RemovalFacts(
        snapshots=("before",), layers=(str(layer),), shared_volumes=(f"{host.pool_id}/{name}",)
    )
    host.driver.decompose(spec.ref)
    assert host.driver.find(spec.ref) is None
    assert {one for _, one in host.volumes()} >= {name, layer.name}


@QEMU
def test_several_snapshots_of_a_running_guest_are_known(host: CapableFixture) -> None:
    spec = composed(host)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0)
    base = path_of(host, spec.disks[0].volume)
    for name in ("first", "second"):
        snapshot(host, spec, name, "vda,snapshot=external")
    for _ in range(2):
        assert facts(host, spec) == RemovalFacts(
            snapshots=("first", "second"), layers=(f"{base}.first", f"{base}.second"),
            shared_volumes=(f"{host.pool_id}/{spec.disks[0].volume}",),
        )  # fmt: skip
        host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.0)


@QEMU
def test_a_guest_that_became_transient_is_not_powered_off(host: CapableFixture) -> None:
    spec = composed(host)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0)
    domain = administrator(host).lookupByName(spec.name)
    xml = domain.XMLDesc()
    domain.undefine()
    assert facts(host, spec) == RemovalFacts(deleted_when_off=True)
    for action in (PowerAction.OFF, PowerAction.FORCE_OFF, PowerAction.CYCLE):
        with pytest.raises(WrongState, match=rf"{spec.name} is transient.*virsh dumpxml {spec.name}.*virsh define"):
            host.driver.power(spec.ref, action, grace_s=0.0)
    assert domain.isActive()
    assert host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0) is PowerState.ON
    administrator(host).defineXML(xml)
    assert facts(host, spec) == NO_REMOVAL_FACTS
    assert host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.0) is PowerState.OFF


@QEMU
def test_a_transient_guest_is_deleted_when_a_person_asks_for_that(host: CapableFixture) -> None:
    spec = composed(host)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0)
    administrator(host).lookupByName(spec.name).undefine()
    host.driver.decompose(spec.ref)
    assert host.driver.find(spec.ref) is None
    assert (host.pool_id, spec.disks[0].volume) not in host.volumes()


@QEMU
def test_a_start_that_saved_memory_prevents_says_what_helps(host: CapableFixture) -> None:
    spec = composed(host)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0)
    administrator(host).lookupByName(spec.name).managedSave()
    saved = Path(f"/var/lib/libvirt/qemu/save/{spec.name}.save")
    os.truncate(saved, 20_000)
    with pytest.raises(DriverFailed, match=rf"saved.*virsh managedsave-remove {spec.name}") as error:
        host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0)
    assert "Cannot start the guest" in str(error.value)
    administrator(host).lookupByName(spec.name).managedSaveRemove()
    assert host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0) is PowerState.ON

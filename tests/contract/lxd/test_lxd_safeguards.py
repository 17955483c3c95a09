"""What LXD and Incus would do to an instance beyond what was asked for, and what their settings forbid."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest
from attrs import evolve

from common.errors import Unsupported, WrongState
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import DiskSize, GuestSize
from common.values import Autostart, Guest, PowerAction, PowerState
from tests.contract.support.driver_fixtures import FIXTURES, DriverFixture, spec_for
from tests.contract.support.guest_samples import new_marker, nic, volumes_of
from tests.contract.support.lxd_fixtures import LxdFixture

SERVERS = {"lxd-double", "lxd-6-double", "incus-double", "lxd", "incus-6", "incus-7"}
TRUE = ("true", "1", "yes", "On")
DESTRUCTIVE = (PowerAction.OFF, PowerAction.FORCE_OFF, PowerAction.CYCLE)

pytestmark = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in SERVERS], indirect=True)


def lxd_of(host: DriverFixture) -> LxdFixture:
    return cast("LxdFixture", host)


def composed(host: DriverFixture, name: str, *, disks: int = 1) -> GuestSpec:
    spec = spec_for(host, name, disks=disks)
    host.driver.compose(spec)
    return spec


def found(host: DriverFixture, name: str) -> Guest:
    return next(one for one in host.driver.discover().guests if one.name == name)


def saved(host: DriverFixture, name: str) -> GuestSpec:
    """Returns a machine that ran, and was stopped with its memory."""
    spec = composed(host, name)
    lxd_of(host).reserve_state(spec.name)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    lxd_of(host).stop_with_memory(spec.name)
    return spec


def test_an_ephemeral_instance_is_not_adopted(host: DriverFixture) -> None:
    name = f"{host.prefix}eph"
    host.make_foreign(name)
    lxd_of(host).change(name, ephemeral=True)
    guest = found(host, name)
    assert guest.removal.deleted_when_off
    with pytest.raises(Unsupported, match=r"as soon as it is powered off.*'\{\"ephemeral\": false\}'"):
        host.driver.adopt(guest.guest_id, name, new_marker(spec_for(host, "x").marker.installation_id))
    assert found(host, name).marker is None


@pytest.mark.parametrize("action", DESTRUCTIVE)
def test_an_instance_made_ephemeral_stays(host: DriverFixture, action: PowerAction) -> None:
    spec = composed(host, "later")
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    lxd_of(host).change(spec.name, ephemeral=True)
    with pytest.raises(WrongState, match=r"is ephemeral.*Nothing was changed"):
        host.driver.power(spec.ref, action, grace_s=1)
    assert lxd_of(host).power_of(spec.name) == "Running"
    (problem,) = [one for one in host.driver.discover().problems if one.subject == spec.name]
    assert '{"ephemeral": false}' in problem.message
    lxd_of(host).change(spec.name, ephemeral=False)
    assert host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=1) is PowerState.OFF


def test_an_ephemeral_instance_that_is_off_is_not_started(host: DriverFixture) -> None:
    spec = composed(host, "off")
    lxd_of(host).change(spec.name, ephemeral=True)
    with pytest.raises(WrongState, match="is ephemeral"):
        host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    assert host.driver.power(spec.ref, PowerAction.OFF, grace_s=1) is PowerState.OFF  # it is, so nothing happens


def test_an_ephemeral_instance_is_deleted_with_its_volumes(host: DriverFixture) -> None:
    spec = composed(host, "gone", disks=2)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    lxd_of(host).change(spec.name, ephemeral=True)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert not lxd_of(host).exists(spec.name)
    assert not {(disk.pool_id, disk.volume) for disk in spec.disks} & host.volumes()


@pytest.mark.parametrize("value", TRUE)
def test_a_protected_instance_is_neither_stopped_nor_deleted(host: DriverFixture, value: str) -> None:
    spec = composed(host, "prot", disks=2)
    lxd_of(host).change(spec.name, config={"security.protection.delete": value})
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    assert "security.protection.delete=false" in found(host, spec.name).removal.protection
    with pytest.raises(WrongState, match=r"nothing was changed.*security\.protection\.delete=false"):
        host.driver.decompose(spec.ref, volumes_of(spec))
    assert lxd_of(host).power_of(spec.name) == "Running"
    assert {(disk.pool_id, disk.volume) for disk in spec.disks} <= host.volumes()
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=1)
    lxd_of(host).change(spec.name, config={"security.protection.delete": "off"})
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert not lxd_of(host).exists(spec.name)


def test_a_protected_instance_keeps_its_root_disk_or_itself(host: DriverFixture) -> None:
    """Where the server can make the root disk anew, the instance is not deleted for that, and its protection stays."""
    spec = composed(host, "kept")
    lxd_of(host).change(spec.name, config={"security.protection.delete": "true"})
    with suppress(WrongState):  # that it deletes the instance
        host.driver.undeploy(spec)
    names = [one.name for one in host.driver.discover().guests if one.name.startswith((host.prefix, "ik-"))]
    assert names == [spec.name]
    assert found(host, spec.name).removal.protection
    lxd_of(host).change(spec.name, config={"security.protection.delete": ""})


@pytest.mark.parametrize("action", [PowerAction.ON, PowerAction.CYCLE])
def test_a_guest_goes_on_from_its_saved_memory(host: DriverFixture, action: PowerAction) -> None:
    spec = saved(host, "state")
    assert found(host, spec.name).removal.saved_memory
    size = GuestSize(cores=1, memory_mib=160)  # stays pending
    assert host.driver.power(spec.ref, action, grace_s=1, size=size) is PowerState.ON
    assert lxd_of(host).was_restored(spec.name)
    after = found(host, spec.name)
    assert (after.memory_mib, after.removal.saved_memory) == (spec.memory_mib, False)


def test_saved_memory_prevents_changes_of_the_guest(host: DriverFixture) -> None:
    spec = saved(host, "fixed")
    driver, root = host.driver, spec.disks[0]
    larger = DiskSize(pool_id=root.pool_id, volume=root.volume, size_bytes=2 * root.size_bytes)
    new_disk = spec_for(host, "other", disks=2).disks[1]
    changes: dict[str, Callable[[], object]] = {
        "size": lambda: driver.resize(spec.ref, GuestSize(cores=2, memory_mib=spec.memory_mib)),
        "attach": lambda: driver.attach_disk(spec.ref, new_disk, 5, create=True),
        "grow": lambda: driver.grow_disk(spec.ref, larger),
        "move": lambda: driver.copy_disk(spec.ref, root.pool_id, root.volume, evolve(root, pool_id="other")),
        "addresses": lambda: driver.set_addresses(spec),
        "nic": lambda: driver.attach_nic(spec.ref, nic(7, host.nics[0].kind, host.nics[0].source)),
        "no nic": lambda: driver.detach_nic(spec.ref, spec.nics[0].mac_address),
    }
    for change in changes.values():
        with pytest.raises(WrongState, match="was stopped with its memory saved"):
            change()
    driver.power(spec.ref, PowerAction.ON, grace_s=1)
    assert lxd_of(host).was_restored(spec.name)


def test_emptying_the_root_disk_ends_saved_memory(host: DriverFixture) -> None:
    spec = saved(host, "emptied")
    host.driver.undeploy(spec)
    assert host.driver.power(spec.ref, PowerAction.ON, grace_s=1) is PowerState.ON
    assert not found(host, spec.name).removal.saved_memory


def test_snapshots_are_reported(host: DriverFixture) -> None:
    spec = composed(host, "snap")
    lxd_of(host).snapshot(spec.name, "before")
    assert found(host, spec.name).removal.snapshots == ("before",)
    known = host.driver.find(spec.ref)
    assert known is not None
    assert known.removal == found(host, spec.name).removal
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert not lxd_of(host).exists(spec.name)


def test_changes_keep_the_description_of_an_instance(host: DriverFixture) -> None:
    """A PATCH without a description removes it from LXD's instances, and from those of Incus 6."""
    spec = composed(host, "described")
    lxd_of(host).change(spec.name, description="the database of accounts")
    host.driver.set_autostart(spec.ref, Autostart.ALWAYS)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    host.driver.set_generation(spec.ref, 2)
    assert lxd_of(host).description_of(spec.name) == "the database of accounts"

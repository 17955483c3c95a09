"""Disk changes that LXD alone refuses, or stores in its own way."""

from __future__ import annotations

from typing import cast

import pytest
from attrs import evolve

from common.errors import DriverFailed, NotFound, WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.guests.sizes import DiskSize
from common.values import GuestRef, PowerAction, PowerState
from tests.contract.disks.test_disk_changes_contract import (
    IN_EITHER_STATE,
    attach,
    composed,
    detach,
    disk_of,
    disks_in,
    listed,
    sizes_in,
    sizes_of,
    switch,
)
from tests.contract.disks.test_disk_growth_contract import GROWN_BYTES, grow, size
from tests.contract.support.driver_fixtures import FIXTURES, INSTALLATION, DriverFixture
from tests.contract.support.guest_samples import DISK_BYTES, new_marker
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture
from tests.lxd_http.state import Lxd

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"lxd-double", "lxd-6-double"}], indirect=True
)


def server(host: DriverFixture) -> Lxd:
    return cast("LxdDoubleFixture", host).administrator.lxd


def ask(host: DriverFixture, where: str, method: str = "GET", **body: object) -> object:
    return cast("LxdDoubleFixture", host).administrator.ask(f"/1.0/{where}", method=method, body=body or None)


@IN_EITHER_STATE
def test_a_device_of_that_name_is_not_replaced(host: DriverFixture, power: PowerState) -> None:
    spec = composed(host, disks=2, on=power is PowerState.ON)
    before, other = host.volumes(), disk_of(host, spec, 5)
    with pytest.raises(WrongState, match="already has a device disk1"):
        attach(host, spec, other, index=1)
    assert (sizes_in(host, spec), host.volumes()) == (sizes_of(*spec.disks), before)
    assert attach(host, spec, other, index=5) is power
    assert disks_in(host, spec)[other.volume].device == "disk5"


def test_a_new_volume_goes_if_lxd_cannot_plug_it_in(host: DriverFixture) -> None:
    spec = composed(host, on=True)
    disk, before = disk_of(host, spec), host.volumes()
    server(host).directories.add(disk.volume)
    with pytest.raises(WrongState, match=rf"Cannot attach directory.*It can be attached while {spec.name} is off\."):
        attach(host, spec, disk)
    assert (sizes_in(host, spec), host.volumes()) == (sizes_of(*spec.disks), before)
    switch(host, spec, PowerAction.FORCE_OFF)
    assert attach(host, spec, disk) is PowerState.OFF


def test_an_older_volume_stays_if_lxd_cannot_plug_it_in(host: DriverFixture) -> None:
    spec = composed(host, on=True)
    disk = disk_of(host, spec)
    host.make_volume(spec, disk)
    before = host.volumes()
    server(host).directories.add(disk.volume)
    with pytest.raises(WrongState, match="while"):
        attach(host, spec, disk)
    assert host.volumes() == before


def test_a_refusal_for_a_guest_that_is_off_is_not_that_it_runs(host: DriverFixture) -> None:
    spec = composed(host, disks=2)
    disk, before = disk_of(host, spec, 2), host.volumes()
    server(host).busy.add(spec.name)
    with pytest.raises(DriverFailed, match="busy"):
        attach(host, spec, disk, index=2)
    with pytest.raises(DriverFailed, match="busy"):
        detach(host, spec, spec.disks[1])
    assert (sizes_in(host, spec), host.volumes()) == (sizes_of(*spec.disks), before)


def test_a_running_guest_that_clings_to_its_disk_keeps_it(host: DriverFixture) -> None:
    spec = composed(host, disks=2, on=True)
    disk = spec.disks[1]
    host.driver.set_boot_disk(spec.ref, disk.pool_id, disk.volume)
    before = listed(host, spec)
    server(host).clinging.add(spec.name)
    with pytest.raises(WrongState, match=rf"Node is in use.*It can be detached while {spec.name} is off\."):
        detach(host, spec, disk)
    assert listed(host, spec) == before
    switch(host, spec, PowerAction.FORCE_OFF)
    assert detach(host, spec, disk) is PowerState.OFF
    assert sizes_in(host, spec) == sizes_of(spec.disks[0])


def test_a_postponed_boot_disk_that_was_detached_is_forgotten(host: DriverFixture) -> None:
    spec = composed(host, disks=2, on=True)
    root, disk = spec.disks
    host.driver.set_boot_disk(spec.ref, disk.pool_id, disk.volume)
    assert listed(host, spec).boot_device == "disk1"
    assert detach(host, spec, disk) is PowerState.ON
    attach(host, spec, disk)
    assert listed(host, spec).boot_device == "root"
    switch(host, spec, PowerAction.CYCLE)
    assert listed(host, spec).boot_device == disks_in(host, spec)[root.volume].device


def test_a_choice_of_another_boot_disk_stays(host: DriverFixture) -> None:
    spec = composed(host, disks=3, on=True)
    chosen = spec.disks[2]
    host.driver.set_boot_disk(spec.ref, chosen.pool_id, chosen.volume)
    detach(host, spec, spec.disks[1])
    switch(host, spec, PowerAction.CYCLE)
    assert listed(host, spec).boot_device == "disk2"


@IN_EITHER_STATE
def test_a_root_disk_is_not_detached(host: DriverFixture, power: PowerState) -> None:
    spec = composed(host, on=power is PowerState.ON)
    before = listed(host, spec)
    with pytest.raises(WrongState, match="root disk"):
        detach(host, spec, spec.disks[0])
    assert listed(host, spec) == before


def test_a_disk_of_a_profile_is_not_detached(host: DriverFixture) -> None:
    spec = composed(host)
    disk = disk_of(host, spec)
    host.make_volume(spec, disk)
    server(host).profiles["shared"] = {
        "config": {},
        "devices": {"data": {"type": "disk", "pool": disk.pool_id, "source": disk.volume}},
    }
    server(host).instance(spec.name, "default").profiles.append("shared")
    with pytest.raises(WrongState, match="profile"):
        detach(host, spec, disk)
    assert sizes_in(host, spec) == sizes_of(*spec.disks, disk)
    assert attach(host, spec, disk, create=False) is PowerState.OFF


@pytest.mark.parametrize("create", [True, False], ids=["create", "existing"])
def test_a_volume_with_a_file_system_is_not_attached(host: DriverFixture, create: bool) -> None:
    spec = composed(host)
    disk = disk_of(host, spec)
    ask(
        host, "storage-pools/default/volumes/custom", "POST",
        name=disk.volume, content_type="filesystem", config={"size": str(DISK_BYTES)},
    )  # fmt: skip
    with pytest.raises(WrongState, match="no block device but a file system"):
        attach(host, spec, disk, create=create)
    assert sizes_in(host, spec) == sizes_of(*spec.disks)


def test_lxd_does_not_hear_of_a_running_root_disks_growth(host: DriverFixture) -> None:
    """It would show the new size at once, although the disk keeps its size until the next start."""
    spec = composed(host, on=True)
    root = cast("LxdDoubleFixture", host).administrator.root_disk(spec.name)
    assert grow(host, spec, 0).size_bytes == DISK_BYTES
    assert sizes_in(host, spec) == sizes_of(*spec.disks)
    host.driver.power(spec.ref, PowerAction.CYCLE, grace_s=0.1, disk_sizes=(size(spec.disks[0]),))
    assert (root.size_bytes, size_in_lxd(host, spec)) == (GROWN_BYTES, str(GROWN_BYTES))


def size_in_lxd(host: DriverFixture, spec: GuestSpec) -> str:
    return server(host).instance(spec.name, "default").devices["root"]["size"]


def test_an_adopted_guest_is_grown_by_the_device_of_its_root(host: DriverFixture) -> None:
    name, marker = f"{host.prefix}adopted", new_marker(INSTALLATION)
    host.make_foreign(name)
    (found,) = [guest for guest in host.driver.discover().guests if guest.name == name]
    host.driver.adopt(found.guest_id, name, marker)
    ref = GuestRef(name=name, marker=marker)
    wanted = DiskSize(pool_id=host.pool_id, volume="root", size_bytes=GROWN_BYTES)
    assert host.driver.grow_disk(ref, wanted).size_bytes == GROWN_BYTES
    grown = host.driver.find(ref)
    assert grown is not None
    assert [disk.size_bytes for disk in grown.disks] == [GROWN_BYTES]
    with pytest.raises(NotFound, match="it has root"):
        host.driver.grow_disk(ref, evolve(wanted, volume="other"))


def test_a_volume_that_vanished_is_detached(host: DriverFixture) -> None:
    """No listing has the disk, and LXD starts no guest with it."""
    spec = composed(host, disks=2)
    lost: DiskSpec = spec.disks[1]
    del server(host).volumes["default", lost.pool_id, lost.volume]
    with pytest.raises(NotFound):
        grow(host, spec, 1)
    assert detach(host, spec, lost) is PowerState.OFF
    assert "disk1" not in server(host).instance(spec.name, "default").devices

"""Disks of LXD that an erase makes again: what one that failed has left, and on which cluster member they are made."""

from __future__ import annotations

from typing import cast

import pytest
from attrs import evolve

from common.errors import DriverFailed
from common.guests.guest_spec import GuestSpec
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.inventory.ownership import ERASING_KEY
from tests.contract.disks.test_disk_changes_contract import attach, composed, detach
from tests.contract.support.driver_fixtures import FIXTURES, DriverFixture
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture
from tests.lxd_http.state import Instance, Lxd

DOUBLES = [one for one in FIXTURES if one.id in {"lxd-double", "lxd-6-double", "incus-double"}]
pytestmark = pytest.mark.parametrize("host", DOUBLES, indirect=True)


def lxd_of(host: DriverFixture) -> Lxd:
    return cast("LxdDoubleFixture", host).administrator.lxd


def instance_of(host: DriverFixture, spec: GuestSpec) -> Instance:
    return lxd_of(host).instance(spec.name, "default")


def sources(host: DriverFixture, spec: GuestSpec) -> list[str]:
    """The volumes of its further disks."""
    return [one["source"] for one in instance_of(host, spec).devices.values() if one.get("source", "").startswith("ik")]


def erase(host: DriverFixture, spec: GuestSpec) -> None:
    host.driver.undeploy(spec, erase=True, overwrite=False)


def fail_to_erase(host: DriverFixture, spec: GuestSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves all but the root disk detached."""

    def refused(*_: object, **__: object) -> None:
        raise DriverFailed("no more volumes")

    monkeypatch.setattr(volumes, "create", refused)
    with pytest.raises(DriverFailed, match="no more volumes"):
        erase(host, spec)
    monkeypatch.undo()
    assert sources(host, spec) == []


def test_an_erase_goes_on_after_one_that_failed(host: DriverFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = composed(host, disks=3)
    cast("LxdDoubleFixture", host).write_to_disks(spec)
    fail_to_erase(host, spec, monkeypatch)
    erase(host, spec)
    assert sources(host, spec) == [disk.volume for disk in spec.disks[1:]]
    assert cast("LxdDoubleFixture", host).written_disks(spec) == (False, False, False)
    assert ERASING_KEY not in instance_of(host, spec).config


@pytest.mark.parametrize("left", [2, 1])
def test_a_disk_that_is_kept_meanwhile_is_not_attached_again(
    host: DriverFixture, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """Its content stays. `left`: the disks that the machine has then."""
    spec = composed(host, disks=3)
    kept = spec.disks[left:]
    cast("LxdDoubleFixture", host).write_to_disks(spec)
    fail_to_erase(host, spec, monkeypatch)
    for disk in kept:
        detach(host, spec, disk)
    erase(host, evolve(spec, disks=spec.disks[:left]))
    assert sources(host, spec) == [disk.volume for disk in spec.disks[1:left]]
    assert ERASING_KEY not in instance_of(host, spec).config
    assert cast("LxdDoubleFixture", host).written_disks(spec) == (*(False,) * left, *(True,) * len(kept))


def test_a_disk_that_another_machine_got_meanwhile_stays_there(
    host: DriverFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, other = composed(host, disks=2), composed(host, "other")
    cast("LxdDoubleFixture", host).write_to_disks(spec)
    fail_to_erase(host, spec, monkeypatch)
    attach(host, other, spec.disks[1], create=False)
    erase(host, evolve(spec, disks=spec.disks[:1]))
    assert (sources(host, spec), sources(host, other)) == ([], [spec.disks[1].volume])
    assert cast("LxdDoubleFixture", host).written_disks(spec) == (False, True)


def test_a_disk_that_came_back_as_another_device_is_attached_once(
    host: DriverFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = composed(host, disks=2)
    fail_to_erase(host, spec, monkeypatch)
    attach(host, spec, spec.disks[1], index=5, create=False)
    erase(host, spec)
    assert sources(host, spec) == [spec.disks[1].volume]


def evacuated(host: DriverFixture, *, disks: int) -> GuestSpec:
    """A machine with something on its disks, which an administrator has moved from the host's member to another one."""
    lxd = lxd_of(host)
    lxd.member = "double"
    lxd.other_members.add("second")
    spec = composed(host, disks=disks)
    assert members(host, spec) == [""] * disks
    cast("LxdDoubleFixture", host).write_to_disks(spec)
    instance_of(host, spec).member = "second"
    for disk in spec.disks[1:]:
        lxd.volumes["default", disk.pool_id, disk.volume].member = "second"
    return spec


def members(host: DriverFixture, spec: GuestSpec) -> list[str]:
    """The members of the instance and of its volumes."""
    found = [lxd_of(host).volumes["default", disk.pool_id, disk.volume] for disk in spec.disks[1:]]
    return [instance_of(host, spec).member, *(one.member for one in found)]


@pytest.mark.parametrize("disks", [1, 2])
def test_an_evacuated_machine_is_erased_where_it_is(host: DriverFixture, disks: int) -> None:
    spec = evacuated(host, disks=disks)
    erase(host, spec)
    assert members(host, spec) == ["second"] * disks
    assert sources(host, spec) == [disk.volume for disk in spec.disks[1:]]
    assert cast("LxdDoubleFixture", host).written_disks(spec) == (False,) * disks


def test_an_evacuated_machine_keeps_its_disks_in_a_deployment(host: DriverFixture) -> None:
    spec = evacuated(host, disks=2)
    host.driver.undeploy(spec)
    assert members(host, spec) == ["second", "second"]
    assert cast("LxdDoubleFixture", host).written_disks(spec) == (False, True)

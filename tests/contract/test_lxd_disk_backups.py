"""Backups of which LXD disks are read: which of its operations they wait for, and what is left of them."""

from __future__ import annotations

from typing import cast

import pytest

from common.errors import Busy
from common.guest_spec import GuestSpec
from rackd.drivers.lxd.guests import disk_backups
from tests.contract.driver_fixtures import FIXTURES, DriverFixture
from tests.contract.lxd_double_fixture import LxdDoubleFixture
from tests.contract.test_disk_changes_contract import composed, detach
from tests.lxd_http import operations
from tests.lxd_http.state import Lxd

DOUBLES = [one for one in FIXTURES if one.id in {"lxd-double", "lxd-6-double", "incus-double"}]
pytestmark = pytest.mark.parametrize("host", DOUBLES, indirect=True)


def lxd_of(host: DriverFixture) -> Lxd:
    return cast("LxdDoubleFixture", host).administrator.lxd


def begin(host: DriverFixture, spec: GuestSpec, index: int) -> None:
    host.driver.begin_read(spec.ref, spec.disks[index].pool_id, spec.disks[index].volume)


def end(host: DriverFixture, spec: GuestSpec, index: int) -> None:
    host.driver.end_read(spec.ref, spec.disks[index].pool_id, spec.disks[index].volume)


@pytest.mark.parametrize(
    ("kind", "url", "waits"),
    [
        ("instances", "/1.0/instances/{name}", True),
        ("instances", "/1.0/instances/{name}?project=default", True),
        ("instances", "/1.0/instances/{name}0", False),
        ("storage_volumes", "/1.0/storage_volumes/{volume}", True),
        ("storage_volumes", "/1.0/storage-pools/{pool}/volumes/custom/{volume}?target=one", True),
        ("storage_volumes", "/1.0/storage-pools/other/volumes/custom/{volume}", False),
        ("storage_volumes", "/1.0/storage_volumes/{volume}0", False),
    ],
)
def test_only_a_backup_of_the_same_disk_is_waited_for(host: DriverFixture, kind: str, url: str, waits: bool) -> None:
    spec = composed(host, disks=2)
    index = 0 if kind == "instances" else 1
    disk = spec.disks[index]
    named = url.format(name=spec.name, volume=disk.volume, pool=disk.pool_id)
    description = "Backing up instance" if kind == "instances" else "Creating custom volume backup"
    operations.leave_running(lxd_of(host), description, {kind: [named]})
    (earlier,) = [one for one in lxd_of(host).operations.values() if one["status_code"] == 103]
    begin(host, spec, index)
    assert (earlier["status_code"] == 200) is waits
    end(host, spec, index)
    assert lxd_of(host).backups == {}


def test_an_earlier_backup_that_takes_too_long_is_waited_for_once(
    host: DriverFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_backups, "MAX_CALL_S", 0.0)
    spec = composed(host, disks=2)
    volume = spec.disks[1].volume
    url = f"/1.0/storage-pools/{spec.disks[1].pool_id}/volumes/custom/{volume}"
    operations.leave_running(lxd_of(host), "Creating custom volume backup", {"storage_volumes": [url]})
    lxd_of(host).slow_waits = 1000
    with pytest.raises(Busy, match=f"still makes an earlier backup of {volume}"):
        begin(host, spec, 1)
    assert lxd_of(host).backups == {}


def test_a_disk_that_was_detached_meanwhile_leaves_no_backup(host: DriverFixture) -> None:
    spec = composed(host, disks=3)
    for index in (1, 2):
        begin(host, spec, index)
    detach(host, spec, spec.disks[1])
    end(host, spec, 1)
    assert len(lxd_of(host).backups) == 1
    detach(host, spec, spec.disks[2])
    host.driver.decompose(spec.ref)
    end(host, spec, 2)
    assert lxd_of(host).backups == {}

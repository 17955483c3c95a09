"""Disks of LXD that are read and filled: what that waits for, what is left of it, and other racks."""

from __future__ import annotations

from typing import Any, cast

import pytest
from attrs import define

from common.errors import Busy
from common.guests.guest_spec import GuestSpec
from common.rpc.commands.host_commands import MAX_CALL_S
from rackd.drivers.contract import Driver
from rackd.drivers.lxd.connection.client import Client
from rackd.drivers.lxd.connection.failures import Unfinished
from rackd.drivers.lxd.factory import LxdDriverFactory
from rackd.drivers.lxd.guests.disks import disk_backups
from rackd.drivers.lxd.inventory.ownership import INSTALLATION_KEY, MACHINE_KEY
from tests.contract.disks.test_disk_changes_contract import composed, detach
from tests.contract.disks.test_disk_content_contract import MemoryContent, image_of
from tests.contract.support.driver_fixtures import FIXTURES, DriverFixture
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture
from tests.lxd_http import operations
from tests.lxd_http.state import Image, Lxd, now

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
    lxd_of(host).slow_waits = 1_000_000_000  # never ends, however fast this machine is
    with pytest.raises(Busy, match=f"still makes an earlier backup of {volume}"):
        begin(host, spec, 1)
    assert lxd_of(host).backups == {}


def test_a_backup_that_takes_too_long_leaves_time_to_delete_it(
    host: DriverFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, waits, post = composed(host), list[float](), Client.post

    def unfinished(client: Client, where: str, body: Any, *, wait_s: float = 0.0, **query: Any) -> Any:
        post(client, where, body, wait_s=wait_s, **query)
        waits.append(wait_s)
        raise Unfinished("not yet")

    monkeypatch.setattr(Client, "post", unfinished)
    with pytest.raises(Unfinished):
        begin(host, spec, 0)
    ((waited_s,), allowed_s) = waits, MAX_CALL_S - 90.0
    assert allowed_s - 60.0 < waited_s <= allowed_s
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


@define
class ContentOfTwoRacks:
    """When it is read, another rack has uploaded its image for the same machine."""

    content: MemoryContent
    lxd: Lxd
    spec: GuestSpec

    def read(self, offset: int, size: int) -> bytes:
        marker = self.spec.marker
        properties = {MACHINE_KEY: str(marker.machine_id), INSTALLATION_KEY: str(marker.installation_id)}
        self.lxd.images["default", "f" * 64] = Image(
            fingerprint="f" * 64, project="default", architecture="x86_64", properties=properties, created_at=now(),
            metadata=b"", disk=b"",
        )  # fmt: skip
        return self.content.read(offset, size)


def test_a_root_disk_that_two_racks_fill_is_filled_again(host: DriverFixture) -> None:
    spec = composed(host)
    disk = spec.disks[0]
    image, content = image_of([], disk.size_bytes)
    with pytest.raises(Busy, match=r"has 2 images for the root disk .* another rack imports it too"):
        host.driver.fill_disk(spec, disk.volume, image, ContentOfTwoRacks(content, lxd_of(host), spec))
    assert lxd_of(host).images == {}
    host.driver.fill_disk(spec, disk.volume, image, content)


def second_driver(host: DriverFixture) -> Driver:
    """A rack serves long calls of one host by several drivers."""
    return LxdDriverFactory().open(cast("LxdDoubleFixture", host).access)


@pytest.mark.parametrize("index", [0, 1])
def test_parts_are_read_by_drivers_that_know_an_earlier_backup(host: DriverFixture, index: int) -> None:
    """Each driver reads another part each time, also the end, where the region checks that all parts are of one."""
    spec = composed(host, disks=2)
    disk = spec.disks[index]
    cast("LxdDoubleFixture", host).write_content(spec, disk)
    drivers = [host.driver, second_driver(host), second_driver(host)]
    for _ in drivers:
        begin(host, spec, index)
        start, states = 0, set[str]()
        for driver in drivers:
            read = driver.read_disk(spec.ref, disk.pool_id, disk.volume, start)
            states.add(read.state)
            start = read.part.end if start == 0 else disk.size_bytes
        end(host, spec, index)
        assert len(states) == 1
        drivers = [*drivers[1:], drivers[0]]
    for driver in drivers:
        if driver is not host.driver:
            driver.close()


def test_a_backup_that_was_made_meanwhile_has_another_state(host: DriverFixture) -> None:
    spec = composed(host)
    disk = spec.disks[0]
    cast("LxdDoubleFixture", host).write_content(spec, disk)
    begin(host, spec, 0)
    first = host.driver.read_disk(spec.ref, disk.pool_id, disk.volume, 0)
    other = second_driver(host)
    other.begin_read(spec.ref, disk.pool_id, disk.volume)
    other.close()
    assert host.driver.read_disk(spec.ref, disk.pool_id, disk.volume, first.part.end).state != first.state
    end(host, spec, 0)

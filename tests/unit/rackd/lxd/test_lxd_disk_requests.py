"""The requests with which the LXD driver changes disks: few, and for what a cluster member has, with its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve

from common.errors import DriverFailed, HostUnreachable, InnkeeperError, OutOfCapacity, Unsupported, WrongState
from common.guests.guest_spec import DiskSpec
from common.guests.sizes import DiskSize, GrownDisk
from common.values import GuestRef, PowerAction, PowerState
from rackd.drivers.lxd.connection.failures import PreconditionFailed, Unfinished
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.guests.disks.attached_disks import device_of, source_of, volumes_of
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.iso_volumes import iso_volume_name
from tests.doubles.lxd_answers import GIB, AnsweringLxd, answering_lxd, documented
from tests.unit.rackd.lxd.test_lxd_guests import MARKER, MARKER_CONFIG, instance

GUEST = GuestRef(name="vm1", marker=MARKER)
SPARE = DiskSpec(volume="spare", pool_id="main", size_bytes=GIB, serial="lxd_disk2")
NEW = evolve(SPARE, volume="new")
VOLUMES = "storage-pools/main/volumes/custom"


@pytest.fixture
def lxd() -> Iterator[AnsweringLxd]:
    with answering_lxd() as served:
        served.answers = documented()
        yield served


def asked(lxd: AnsweringLxd, change: Callable[[LxdDriver], object]) -> list[tuple[str, list[str]]]:
    """The paths that a change asks for, with the members that they name, after those that begin every connection."""
    driver = lxd.driver()
    driver.find(GUEST)
    before = len(lxd.asked)
    try:
        change(driver)
    finally:
        driver.close()
    parts = [urlsplit(one) for one in lxd.asked[before:]]
    return [(one.path.removeprefix("/1.0").strip("/"), parse_qs(one.query).get("target", [])) for one in parts]


def size(volume: str, size_bytes: int = 9 * GIB) -> DiskSize:
    return DiskSize(pool_id="main", volume=volume, size_bytes=size_bytes)


def test_a_volume_is_attached_with_four_requests(lxd: AnsweringLxd) -> None:
    assert asked(lxd, lambda driver: driver.attach_disk(GUEST, SPARE, 2, create=True)) == [
        ("instances", []), (f"{VOLUMES}/spare", ["m1"]), ("instances/vm1", []), ("instances/vm1", []),
    ]  # fmt: skip


def test_an_attached_volume_takes_one_request(lxd: AnsweringLxd) -> None:
    attached = evolve(SPARE, volume="data")
    assert asked(lxd, lambda driver: driver.attach_disk(GUEST, attached, 1, create=True)) == [("instances", [])]


def test_a_new_volume_is_made_on_the_guests_member(lxd: AnsweringLxd) -> None:
    lxd.answers[VOLUMES] = {}
    assert asked(lxd, lambda driver: driver.attach_disk(GUEST, NEW, 2, create=True)) == [
        ("instances", []), (f"{VOLUMES}/new", ["m1"]), ("storage-pools", []),
        ("storage-pools/main/resources", ["m1"]), (VOLUMES, ["m1"]), ("instances/vm1", []), ("instances/vm1", []),
    ]  # fmt: skip


def test_a_new_volume_stays_if_lxd_may_still_attach_it(lxd: AnsweringLxd) -> None:
    lxd.answers[VOLUMES] = {}
    lxd.dropped = {"instances/vm1"}

    def attach(driver: LxdDriver) -> None:
        with pytest.raises(HostUnreachable):
            driver.attach_disk(GUEST, NEW, 2, create=True)

    assert [path for path, _ in asked(lxd, attach)].count(f"{VOLUMES}/new") == 1  # it is not deleted


def test_a_new_volume_goes_if_lxd_does_not_attach_it(lxd: AnsweringLxd) -> None:
    lxd.answers[VOLUMES] = {}
    del lxd.answers["instances/vm1"]

    def attach(driver: LxdDriver) -> None:
        with pytest.raises(InnkeeperError):
            driver.attach_disk(GUEST, NEW, 2, create=True)

    assert asked(lxd, attach)[-1] == (f"{VOLUMES}/new", ["m1"])


def test_a_volume_is_detached_with_three_requests(lxd: AnsweringLxd) -> None:
    assert asked(lxd, lambda driver: driver.detach_disk(GUEST, "main", "data")) == [
        ("instances", []), ("instances/vm1", []), ("instances/vm1", []),
    ]  # fmt: skip
    assert asked(lxd, lambda driver: driver.detach_disk(GUEST, "main", "spare")) == [("instances", [])]


def test_a_volume_grows_with_five_requests(lxd: AnsweringLxd) -> None:
    volume = (f"{VOLUMES}/data", ["m1"])
    assert asked(lxd, lambda driver: driver.grow_disk(GUEST, size("data"))) == [
        ("instances", []), volume, ("storage-pools", []), ("storage-pools/main/resources", ["m1"]), volume,
    ]  # fmt: skip
    assert asked(lxd, lambda driver: driver.grow_disk(GUEST, size("data", GIB))) == [("instances", []), volume]


def test_a_root_disk_grows_with_its_instance(lxd: AnsweringLxd) -> None:
    assert asked(lxd, lambda driver: driver.grow_disk(GUEST, size("root"))) == [
        ("instances", []), ("storage-pools", []), ("storage-pools/main/resources", ["m1"]), ("instances/vm1", []),
        ("instances/vm1", []),
    ]  # fmt: skip


def running(lxd: AnsweringLxd, **devices: dict[str, str]) -> None:
    """The guest runs. The instance has these devices, too, when it is read by its name."""
    lxd.answers["instances"][0]["status_code"] = 103
    read = lxd.answers["instances/vm1"]
    both = {**read["devices"], **devices}
    lxd.answers["instances/vm1"] = {**read, "status_code": 103, "devices": both, "expanded_devices": both}


def raised(lxd: AnsweringLxd, change: Callable[[LxdDriver], object]) -> InnkeeperError:
    driver = lxd.driver()
    try:
        with pytest.raises(InnkeeperError) as error:
            change(driver)
    finally:
        driver.close()
    return error.value


def test_a_disk_is_attached_although_lxd_says_something_else(lxd: AnsweringLxd) -> None:
    """It changes a running instance, and then may be unable to report that to an agent in the guest."""
    lxd.refused["PATCH", "instances/vm1"] = (500, "LXD VM agent isn't currently running")
    running(lxd, disk2={"type": "disk", "pool": "main", "source": "spare"})
    driver = lxd.driver()
    assert driver.attach_disk(GUEST, SPARE, 2, create=False) is PowerState.ON
    driver.close()


def test_a_change_by_another_client_is_no_refusal_of_the_guest(lxd: AnsweringLxd) -> None:
    lxd.refused["PUT", "instances/vm1"] = (412, "ETag doesn't match")
    running(lxd)
    error = raised(lxd, lambda driver: driver.detach_disk(GUEST, "main", "data"))
    assert isinstance(error, PreconditionFailed)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (412, "ETag doesn't match", PreconditionFailed),
        (500, 'Failed add validation for device "disk2": Cannot add it', DriverFailed),
        (500, 'Failed to start device "disk2": Cannot add it', WrongState),
    ],
)
def test_only_what_a_running_guest_refuses_can_be_while_it_is_off(
    lxd: AnsweringLxd, status: int, text: str, kind: type[Exception]
) -> None:
    lxd.refused["PATCH", "instances/vm1"] = (status, text)
    running(lxd)
    error = raised(lxd, lambda driver: driver.attach_disk(GUEST, SPARE, 2, create=False))
    assert (type(error), "while vm1 is off" in str(error)) == (kind, kind is WrongState)


def test_a_volume_that_may_still_be_attached_is_no_refusal_of_the_guest(
    lxd: AnsweringLxd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unfinished(_: Instances, name: str, **__: object) -> None:
        raise Unfinished(f"not yet: {name}")

    monkeypatch.setattr(Instances, "change", unfinished)
    lxd.answers[VOLUMES] = {}
    running(lxd)

    def attach(driver: LxdDriver) -> None:
        with pytest.raises(Unfinished):
            driver.attach_disk(GUEST, NEW, 2, create=True)

    assert [path for path, _ in asked(lxd, attach)].count(f"{VOLUMES}/new") == 1  # it is not deleted


def test_a_volume_that_another_rack_made_is_checked(lxd: AnsweringLxd) -> None:
    lxd.refused["POST", VOLUMES] = (409, "Volume by that name already exists")
    lxd.late = {f"{VOLUMES}/spare"}
    assert asked(lxd, lambda driver: driver.attach_disk(GUEST, SPARE, 2, create=True))[-1] == ("instances/vm1", [])
    lxd.late = {f"{VOLUMES}/spare"}
    larger = evolve(SPARE, size_bytes=2 * GIB)
    error = raised(lxd, lambda driver: driver.attach_disk(GUEST, larger, 2, create=True))
    assert isinstance(error, WrongState)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('Reached maximum aggregate value "1GiB" for "limits.disk" in project "p"', OutOfCapacity),
        ("Not supported", Unsupported),
        ("In use", DriverFailed),
        ("No such device", DriverFailed),
    ],
)
def test_what_lxd_refuses_to_grow_says_why(lxd: AnsweringLxd, text: str, kind: type[Exception]) -> None:
    lxd.refused["PATCH", f"{VOLUMES}/data"] = (500, text)
    error = raised(lxd, lambda driver: driver.grow_disk(GUEST, size("data")))
    assert (type(error), text in str(error)) == (kind, True)


def test_a_running_guests_volume_that_fails_to_grow_is_an_error(lxd: AnsweringLxd) -> None:
    running(lxd)
    lxd.refused["PATCH", f"{VOLUMES}/data"] = (500, "No such device")
    assert type(raised(lxd, lambda driver: driver.grow_disk(GUEST, size("data")))) is DriverFailed
    lxd.refused["PATCH", f"{VOLUMES}/data"] = (500, "In use")
    driver = lxd.driver()
    assert driver.grow_disk(GUEST, size("data")) == GrownDisk(size_bytes=GIB, power=PowerState.ON)
    driver.close()


def test_a_limit_of_the_project_is_a_lack_of_capacity(lxd: AnsweringLxd) -> None:
    lxd.refused["POST", VOLUMES] = (500, 'Reached maximum aggregate value "1GiB" for "limits.disk" in project "p"')
    error = raised(lxd, lambda driver: driver.attach_disk(GUEST, NEW, 2, create=True))
    assert isinstance(error, OutOfCapacity)


def test_a_start_of_a_running_guest_asks_for_no_volume(lxd: AnsweringLxd) -> None:
    running(lxd)
    paths = asked(lxd, lambda driver: driver.power(GUEST, PowerAction.ON, grace_s=0.1, disk_sizes=(size("data"),)))
    assert {path for path, _ in paths} == {"instances", "instances/vm1"}


def test_disks_are_found_by_each_name_that_discovery_gives_them() -> None:
    devices = {
        "root": {"type": "disk", "path": "/", "pool": "main"},
        "disk1": {"type": "disk", "pool": "main", "source": "data"},
        "config": {"type": "disk", "source": "cloud-init:config"},
        "eth0": {"type": "nic", "network": "lan"},
        "iso": {"type": "disk", "pool": "main", "source": iso_volume_name("ab" * 32, "00ff")},
    }
    composed = instance(project="own", devices=devices, config={**MARKER_CONFIG, "user.innkeeper.root": "ik-root"})
    for volume, device in {
        "ik-root": "root", "root": "root", "data": "disk1", "own/data": "disk1", "other/data": None, "disk1": None,
        "": None, "cloud-init:config": None, "eth0": None, devices["iso"]["source"]: None,
    }.items():  # fmt: skip
        assert (volume, device_of(composed, "main", volume)) == (volume, device)
        assert device_of(composed, "other", volume) is None
    assert volumes_of(composed) == ["ik-root", "data"]
    assert [source_of(composed, name) for name in ("own/data", "data", "ik-1")] == ["data", "data", "ik-1"]

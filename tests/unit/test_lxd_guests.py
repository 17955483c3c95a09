"""What LXD tells of instances, read back as guests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from common.marks import volume_name
from common.values import DiskSpec, Guest, GuestSpec, Mark, NicKind, NicSpec, PowerState
from rackd.drivers.lxd import definition
from rackd.drivers.lxd.guests import (
    INSTALLATION,
    MACHINE,
    MADE,
    ROOT_VOLUME,
    Volumes,
    guest_of,
    homes_of,
    is_half_made,
    mark_of,
    power_of,
    volume_of,
)
from rackd.drivers.lxd.sizes import cores, natural, size_bytes

MARK = Mark(installation_id=UUID(int=1), machine_id=UUID(int=2))
OWN_ID = "6d4f92d1-8805-4713-9cfd-5c57d0ab8f17"
MARKED = {INSTALLATION: str(MARK.installation_id), MACHINE: str(MARK.machine_id)}


def instance(**changes: Any) -> dict[str, Any]:
    config = {"volatile.uuid": OWN_ID, "limits.cpu": "2", "limits.memory": "4GiB", **changes.pop("config", {})}
    devices = changes.pop("devices", {"root": {"type": "disk", "path": "/", "pool": "main", "size": "8GiB"}})
    return {
        "name": "vm1",
        "type": "virtual-machine",
        "architecture": "x86_64",
        "project": "default",
        "location": "none",
        "status_code": 102,
        "config": config,
        "expanded_config": config,
        "expanded_devices": devices,
        **changes,
    }


def read(told: dict[str, Any], *volumes: dict[str, Any]) -> Guest:
    guest, problems = guest_of(told, volumes_of(*volumes))
    assert problems == ()
    return guest


def volumes_of(*told: dict[str, Any]) -> Volumes:
    projects = [
        {"name": "default", "config": {"features.storage.volumes": "true"}},
        {"name": "own", "config": {"features.storage.volumes": "true"}},
        {"name": "shared", "config": {"features.storage.volumes": "false"}},
    ]
    return Volumes.of([volume_of(one, "main") for one in told], homes_of(projects))


def custom(name: str, size: str = "1GiB", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "custom", "content_type": "block", "config": {"size": size}, **more}


def test_an_instance_is_read_with_its_limits_and_its_root_disk() -> None:
    guest = read(instance())
    assert (guest.name, guest.guest_id, guest.cores, guest.memory_mib) == ("vm1", OWN_ID, 2, 4096)
    assert (guest.architecture, guest.power, guest.member, guest.kind) == ("amd64", PowerState.OFF, None, "vm")
    (root,) = guest.disks
    assert (root.pool_id, root.volume, root.size_bytes, root.serial) == ("main", None, 8 * 1024**3, "lxd_root")


def test_a_machine_without_limits_has_the_defaults_of_lxd() -> None:
    bare = instance()
    bare["expanded_config"] = {}
    assert (read(bare).cores, read(bare).memory_mib) == (1, 1024)


def test_a_container_is_counted_and_never_ours() -> None:
    told = instance(type="container", config={**MARKED, MADE: OWN_ID})
    assert (read(told).kind, read(told).mark, read(told).cores) == ("container", None, 2)
    told["expanded_config"] = {}
    assert (read(told).cores, read(told).memory_mib) == (0, 0)


@pytest.mark.parametrize(
    ("text", "count", "pinned"),
    [("4", 4, ()), ("0-0", 1, (0,)), ("1-3,7", 4, (1, 2, 3, 7)), ("2,0", 2, (0, 2)), ("1,1", 1, (1,))],
)
def test_a_number_of_cores_is_any_and_a_list_is_those(text: str, count: int, pinned: tuple[int, ...]) -> None:
    assert cores(text) == (count, pinned)


@pytest.mark.parametrize("text", ["x", "3-1", "1-", "-1", "1;2", "0-999999"])
def test_what_is_no_list_of_cores_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="list of cores"):
        cores(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("1kB", 1000), ("1KiB", 1024), ("2MB", 2_000_000), ("3GiB", 3 * 1024**3), ("1TiB", 1024**4)],
)
def test_sizes_have_units_of_both_kinds(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["50%", "", "GiB", "1.5GiB", "-1", "1Gi"])
def test_what_names_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        size_bytes(text)


def test_a_percentage_is_a_problem_and_the_rest_is_read() -> None:
    guest, problems = guest_of(instance(config={"limits.memory": "50%"}), Volumes())
    assert (guest.cores, guest.memory_mib) == (2, 1024)
    assert ["50%" in problem.message for problem in problems] == [True]
    assert problems[0].subject == "vm1"


def test_further_disks_are_block_volumes_in_the_order_of_their_devices() -> None:
    devices = {
        "disk10": {"type": "disk", "pool": "main", "source": "ten"},
        "disk2": {"type": "disk", "pool": "main", "source": "two"},
        "iso": {"type": "disk", "pool": "main", "source": "installer"},
        "cloud": {"type": "disk", "source": "cloud-init:config"},
        "home": {"type": "disk", "source": "/srv/home", "path": "/home"},
        "root": {"type": "disk", "path": "/", "pool": "main", "size": "8GiB"},
    }
    told = [custom("two"), custom("ten", "2GiB"), custom("installer", content_type="iso")]
    disks = read(instance(devices=devices), *told).disks
    assert [(disk.device, disk.volume) for disk in disks] == [("root", None), ("disk2", "two"), ("disk10", "ten")]
    assert [disk.size_bytes for disk in disks[1:]] == [1024**3, 2 * 1024**3]


def test_a_disk_whose_volume_is_not_listed_is_a_problem() -> None:
    devices = {"disk1": {"type": "disk", "pool": "main", "source": "lost"}}
    guest, problems = guest_of(instance(devices=devices), volumes_of())
    assert guest.disks == ()
    assert "lost" in problems[0].message


@pytest.mark.parametrize(("project", "home"), [("own", "own"), ("shared", "default")])
def test_a_volume_is_looked_up_where_the_project_keeps_its_volumes(project: str, home: str) -> None:
    devices = {"disk1": {"type": "disk", "pool": "main", "source": "data"}}
    other = "default" if home == "own" else "own"
    told = instance(project=project, devices=devices)
    found = read(told, custom("data", "1GiB", project=home), custom("data", "9GiB", project=other))
    assert [disk.size_bytes for disk in found.disks] == [1024**3]


def test_of_two_volumes_of_one_name_in_a_cluster_the_one_beside_the_instance_counts() -> None:
    devices = {"disk1": {"type": "disk", "pool": "main", "source": "data"}}
    volumes = custom("data", "1GiB", location="m1"), custom("data", "2GiB", location="m2")
    guest = read(instance(devices=devices, location="m2"), *volumes)
    assert (guest.member, guest.disks[0].size_bytes) == ("m2", 2 * 1024**3)


def test_cards_are_read_with_the_one_to_boot_from_first() -> None:
    devices = {
        "eth0": {"type": "nic", "network": "lan"},
        "eth1": {"type": "nic", "nictype": "bridged", "parent": "br0", "hwaddr": "aa:1", "boot.priority": "1"},
        "eth2": {"type": "nic", "nictype": "macvlan", "parent": "ens3", "hwaddr": "aa:2"},
        "eth3": {"type": "nic", "nictype": "sriov", "parent": "ens4", "hwaddr": "aa:3"},
        "eth4": {"type": "nic", "nictype": "physical", "parent": "ens5", "hwaddr": "aa:4"},
        "eth5": {"type": "nic", "nictype": "p2p", "hwaddr": "aa:5"},
    }
    nics = read(instance(devices=devices, config={"volatile.eth0.hwaddr": "aa:0"})).nics
    assert [(nic.mac_address, nic.kind, nic.source) for nic in nics] == [
        ("aa:1", NicKind.BRIDGE, "br0"),
        ("aa:0", NicKind.NETWORK, "lan"),
        ("aa:2", NicKind.MACVLAN, "ens3"),
        ("aa:3", NicKind.SRIOV, "ens4"),
        ("aa:4", NicKind.OTHER, "ens5"),
        ("aa:5", NicKind.OTHER, ""),
    ]


@pytest.mark.parametrize(
    ("code", "power"),
    [
        (101, PowerState.ON),
        (103, PowerState.ON),
        (106, PowerState.ON),
        (113, PowerState.ON),
        (107, PowerState.ON),
        (102, PowerState.OFF),
        (110, PowerState.PAUSED),
        (112, PowerState.UNKNOWN),
        (0, PowerState.UNKNOWN),
    ],
)
def test_each_status_of_lxd_is_a_power_state(code: int, power: PowerState) -> None:
    assert power_of(code) is power


def test_the_mark_counts_while_half_made_when_made_and_when_adopted() -> None:
    half = {**MARKED, MADE: definition.half_made("this attempt")}
    assert mark_of(instance(config=half)) == MARK
    assert is_half_made(instance(config=half))
    assert mark_of(instance(config={**MARKED, MADE: OWN_ID})) == MARK
    assert not is_half_made(instance(config={**MARKED, MADE: OWN_ID}))


def test_a_copy_of_a_machine_is_foreign() -> None:
    assert mark_of(instance(config={**MARKED, MADE: str(UUID(int=99))})) is None


@pytest.mark.parametrize("config", [{}, {INSTALLATION: "x", MACHINE: "y"}, {INSTALLATION: str(UUID(int=1))}])
def test_what_is_no_mark_of_ours_is_foreign(config: dict[str, str]) -> None:
    assert mark_of(instance(config={**config, MADE: OWN_ID})) is None


def test_the_root_disk_of_a_composed_machine_has_its_name_in_the_ledger() -> None:
    name = volume_name(MARK, 0)
    composed = {**MARKED, MADE: OWN_ID, ROOT_VOLUME: name}
    assert read(instance(config=composed)).disks[0].volume == name
    other = {**composed, ROOT_VOLUME: volume_name(Mark(installation_id=UUID(int=1), machine_id=UUID(int=9)), 0)}
    assert read(instance(config=other)).disks[0].volume is None


SPEC = GuestSpec(
    name="web-1",
    mark=MARK,
    architecture="amd64",
    cores=4,
    memory_mib=2048,
    disks=tuple(
        DiskSpec(volume=volume_name(MARK, index), pool_id="main", size_bytes=8 * 1024**3, serial=f"s{index}")
        for index in range(3)
    ),
    nics=(
        NicSpec(name="eth0", mac_address="52:54:00:00:00:01", kind=NicKind.NETWORK, source="lan", boot=True),
        NicSpec(name="eth1", mac_address="52:54:00:00:00:02", kind=NicKind.MACVLAN, source="ens3"),
    ),
)


def test_what_is_asked_of_lxd_is_read_back_as_what_was_wanted() -> None:
    body = definition.instance_of(SPEC, has_profile=False, attempt="a")
    told = instance(**{**body, "config": {**body["config"], MADE: OWN_ID}})
    told["expanded_devices"] = body["devices"]
    guest = read(told, *(definition.volume_of(disk) for disk in SPEC.disks[1:]))
    assert (guest.name, guest.cores, guest.memory_mib, guest.mark) == ("web-1", 4, 2048, MARK)
    assert [(disk.pool_id, disk.volume, disk.size_bytes) for disk in guest.disks] == [
        (disk.pool_id, disk.volume, disk.size_bytes) for disk in SPEC.disks
    ]
    assert [(nic.mac_address, nic.kind, nic.source) for nic in guest.nics] == [
        (nic.mac_address, nic.kind, nic.source) for nic in SPEC.nics
    ]


def test_a_new_instance_is_empty_boots_from_the_network_first_and_has_no_profile_but_ours() -> None:
    body = definition.instance_of(SPEC, has_profile=False, attempt="a")
    assert (body["type"], body["source"], body["profiles"]) == ("virtual-machine", {"type": "none"}, [])
    assert body["architecture"] == "x86_64"
    assert body["config"]["limits.memory"] == str(2048 * 1024**2)
    assert body["config"]["security.secureboot"] == "false"
    priorities = {name: device.get("boot.priority") for name, device in body["devices"].items()}
    assert priorities == {"root": "0", "disk1": None, "disk2": None, "eth0": "1", "eth1": None}
    assert definition.instance_of(SPEC, has_profile=True, attempt="a")["profiles"] == ["maas"]


def test_names_sort_as_people_count() -> None:
    assert sorted(["disk10", "disk9", "a", "disk"], key=natural) == ["a", "disk", "disk9", "disk10"]

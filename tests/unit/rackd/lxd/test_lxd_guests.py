"""LXD instances become guests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from common.disks.volume_names import volume_name
from common.guests.guest_spec import NicSpec
from common.values import Guest, NicKind, OwnershipMarker, PowerState
from rackd.drivers.lxd.connection.capabilities import Capabilities
from rackd.drivers.lxd.guests import instance_config
from rackd.drivers.lxd.inventory.config_values import natural, parse_cores, size_bytes
from rackd.drivers.lxd.inventory.guests import guest_of
from rackd.drivers.lxd.inventory.ownership import (
    COMPLETED_KEY,
    INSTALLATION_KEY,
    MACHINE_KEY,
    ROOT_VOLUME_KEY,
    incomplete,
    is_incomplete,
    marker_of,
)
from rackd.drivers.lxd.inventory.power_states import power_of
from rackd.drivers.lxd.inventory.volume_index import VolumeIndex, parse_volume, volume_projects_of
from tests.contract.support.guest_samples import small_guest

MARKER = OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2))
OWN_ID = "6d4f92d1-8805-4713-9cfd-5c57d0ab8f17"
MARKER_CONFIG = {INSTALLATION_KEY: str(MARKER.installation_id), MACHINE_KEY: str(MARKER.machine_id)}


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


def read(described: dict[str, Any], *volumes: dict[str, Any]) -> Guest:
    guest, problems = guest_of(described, volumes_of(*volumes))
    assert problems == ()
    return guest


def volumes_of(*listed: dict[str, Any]) -> VolumeIndex:
    projects = [
        {"name": "default", "config": {"features.storage.volumes": "true"}},
        {"name": "own", "config": {"features.storage.volumes": "true"}},
        {"name": "shared", "config": {"features.storage.volumes": "false"}},
    ]
    return VolumeIndex.of([parse_volume(one, "main") for one in listed], volume_projects_of(projects))


def custom(name: str, size: str = "1GiB", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "custom", "content_type": "block", "config": {"size": size}, **more}


def test_instances_have_limits_and_root_disk() -> None:
    guest = read(instance())
    assert (guest.name, guest.guest_id, guest.cores, guest.memory_mib) == ("vm1", OWN_ID, 2, 4096)
    assert (guest.architecture, guest.power, guest.member, guest.kind) == ("amd64", PowerState.OFF, None, "vm")
    (root,) = guest.disks
    assert (root.pool_id, root.volume, root.size_bytes, root.serial) == ("main", None, 8 * 1024**3, "lxd_root")


def test_missing_limits_are_lxds_defaults() -> None:
    bare = instance()
    bare["expanded_config"] = {}
    assert (read(bare).cores, read(bare).memory_mib) == (1, 1024)


def test_containers_are_counted_but_never_managed() -> None:
    described = instance(type="container", config={**MARKER_CONFIG, COMPLETED_KEY: OWN_ID})
    assert (read(described).kind, read(described).marker, read(described).cores) == ("container", None, 2)
    described["expanded_config"] = {}
    assert (read(described).cores, read(described).memory_mib) == (0, 0)


@pytest.mark.parametrize(
    ("text", "count", "pinned"),
    [("4", 4, ()), ("0-0", 1, (0,)), ("1-3,7", 4, (1, 2, 3, 7)), ("2,0", 2, (0, 2)), ("1,1", 1, (1,))],
)
def test_core_counts_and_core_lists_are_parsed(text: str, count: int, pinned: tuple[int, ...]) -> None:
    assert parse_cores(text) == (count, pinned)


@pytest.mark.parametrize("text", ["x", "3-1", "1-", "-1", "1;2", "0-999999"])
def test_malformed_core_lists_raise(text: str) -> None:
    with pytest.raises(ValueError, match="list of cores"):
        parse_cores(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("1kB", 1000), ("1KiB", 1024), ("2MB", 2_000_000), ("3GiB", 3 * 1024**3), ("1TiB", 1024**4)],
)
def test_sizes_have_decimal_and_binary_units(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["50%", "", "GiB", "1.5GiB", "-1", "1Gi"])
def test_malformed_sizes_raise(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        size_bytes(text)


@pytest.mark.parametrize(
    ("users", "stays"),
    [
        (["/1.0/instances/vm1"], False),
        (["/1.0/instances/vm1", "/1.0/instances/vm1/snapshots/s?project=default"], False),
        (["/1.0/instances/vm1", "/1.0/instances/vm10"], True),
        (["/1.0/instances/vm1", "/1.0/instances/vm1?project=shared"], True),
        (["/1.0/instances/vm1", "/1.0/profiles/vm1"], True),
    ],
)
def test_a_volume_that_something_else_uses_stays(users: list[str], stays: bool) -> None:
    devices = {"disk1": {"type": "disk", "pool": "main", "source": "data"}}
    guest = read(instance(devices=devices), custom("data", used_by=users))
    assert guest.removal.shared_volumes == (("main/data",) if stays else ())


def test_further_disks_are_block_volumes_in_device_order() -> None:
    devices = {
        "disk10": {"type": "disk", "pool": "main", "source": "ten"},
        "disk2": {"type": "disk", "pool": "main", "source": "two"},
        "iso": {"type": "disk", "pool": "main", "source": "installer"},
        "cloud": {"type": "disk", "source": "cloud-init:config"},
        "home": {"type": "disk", "source": "/srv/home", "path": "/home"},
        "root": {"type": "disk", "path": "/", "pool": "main", "size": "8GiB"},
    }
    volumes = [custom("two"), custom("ten", "2GiB"), custom("installer", content_type="iso")]
    disks = read(instance(devices=devices), *volumes).disks
    assert [(disk.device, disk.volume) for disk in disks] == [("root", None), ("disk2", "two"), ("disk10", "ten")]
    assert [disk.size_bytes for disk in disks[1:]] == [1024**3, 2 * 1024**3]


def test_disks_with_an_unlisted_volume_are_problems() -> None:
    devices = {"disk1": {"type": "disk", "pool": "main", "source": "lost"}}
    guest, problems = guest_of(instance(devices=devices), volumes_of())
    assert guest.disks == ()
    assert "lost" in problems[0].message


@pytest.mark.parametrize(("project", "home"), [("own", "own"), ("shared", "default")])
def test_volumes_are_found_in_the_projects_volume_project(project: str, home: str) -> None:
    devices = {"disk1": {"type": "disk", "pool": "main", "source": "data"}}
    other = "default" if home == "own" else "own"
    described = instance(project=project, devices=devices)
    found = read(described, custom("data", "1GiB", project=home), custom("data", "9GiB", project=other))
    assert [disk.size_bytes for disk in found.disks] == [1024**3]


def test_volumes_on_the_instances_member_are_preferred() -> None:
    devices = {"disk1": {"type": "disk", "pool": "main", "source": "data"}}
    volumes = custom("data", "1GiB", location="m1"), custom("data", "2GiB", location="m2")
    guest = read(instance(devices=devices, location="m2"), *volumes)
    assert (guest.member, guest.disks[0].size_bytes) == ("m2", 2 * 1024**3)


def test_the_boot_nic_is_listed_first() -> None:
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
def test_every_status_maps_to_a_power_state(code: int, power: PowerState) -> None:
    assert power_of(code) is power


def test_markers_count_incomplete_complete_and_adopted() -> None:
    half = {**MARKER_CONFIG, COMPLETED_KEY: incomplete("this attempt")}
    assert marker_of(instance(config=half)) == MARKER
    assert is_incomplete(instance(config=half))
    assert marker_of(instance(config={**MARKER_CONFIG, COMPLETED_KEY: OWN_ID})) == MARKER
    assert not is_incomplete(instance(config={**MARKER_CONFIG, COMPLETED_KEY: OWN_ID}))


def test_copies_of_a_machine_are_foreign() -> None:
    assert marker_of(instance(config={**MARKER_CONFIG, COMPLETED_KEY: str(UUID(int=99))})) is None


@pytest.mark.parametrize(
    "config", [{}, {INSTALLATION_KEY: "x", MACHINE_KEY: "y"}, {INSTALLATION_KEY: str(UUID(int=1))}]
)
def test_malformed_markers_are_foreign(config: dict[str, str]) -> None:
    assert marker_of(instance(config={**config, COMPLETED_KEY: OWN_ID})) is None


def test_root_disks_have_their_ledger_name() -> None:
    name = volume_name(MARKER, 0)
    composed = {**MARKER_CONFIG, COMPLETED_KEY: OWN_ID, ROOT_VOLUME_KEY: name}
    assert read(instance(config=composed)).disks[0].volume == name
    other = {
        **composed,
        ROOT_VOLUME_KEY: volume_name(OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=9)), 0),
    }
    assert read(instance(config=other)).disks[0].volume is None


SPEC = small_guest(
    "web-1",
    MARKER,
    ("main",) * 3,
    cores=4,
    memory_mib=2048,
    nics=(
        NicSpec(name="eth0", mac_address="52:54:00:00:00:01", kind=NicKind.NETWORK, source="lan", boot=True),
        NicSpec(name="eth1", mac_address="52:54:00:00:00:02", kind=NicKind.MACVLAN, source="ens3"),
    ),
)


def test_instance_requests_round_trip() -> None:
    body = instance_config.instance_of(SPEC, profile=None, attempt="a")
    described = instance(**{**body, "config": {**body["config"], COMPLETED_KEY: OWN_ID}})
    described["expanded_devices"] = body["devices"]
    guest = read(described, *(instance_config.custom_volume(disk) for disk in SPEC.disks[1:]))
    assert (guest.name, guest.cores, guest.memory_mib, guest.marker) == ("web-1", 4, 2048, MARKER)
    assert [(disk.pool_id, disk.volume, disk.size_bytes) for disk in guest.disks] == [
        (disk.pool_id, disk.volume, disk.size_bytes) for disk in SPEC.disks
    ]
    assert [(nic.mac_address, nic.kind, nic.source) for nic in guest.nics] == [
        (nic.mac_address, nic.kind, nic.source) for nic in SPEC.nics
    ]


def test_new_instances_are_empty_and_boot_from_the_network() -> None:
    body = instance_config.instance_of(SPEC, profile=None, attempt="a")
    assert (body["type"], body["source"], body["profiles"]) == ("virtual-machine", {"type": "none"}, [])
    assert body["architecture"] == "x86_64"
    assert body["config"]["limits.memory"] == str(2048 * 1024**2)
    assert body["config"]["security.secureboot"] == "false"
    priorities = {name: device.get("boot.priority") for name, device in body["devices"].items()}
    assert priorities == {"root": "1", "disk1": None, "disk2": None, "eth0": "2", "eth1": None}
    profile = {"name": "maas", "config": {}}
    assert instance_config.instance_of(SPEC, profile=profile, attempt="a")["profiles"] == ["maas"]


def test_secure_boot_is_off_by_the_key_that_the_server_knows() -> None:
    newer = instance_config.Prerequisites(capabilities=Capabilities(boot_mode=True))
    config = instance_config.instance_of(SPEC, profile=None, attempt="a", prerequisites=newer)["config"]
    assert config["boot.mode"] == "uefi-nosecureboot"
    assert "security.secureboot" not in config


def test_device_names_sort_numerically() -> None:
    assert sorted(["disk10", "disk9", "a", "disk"], key=natural) == ["a", "disk", "disk9", "disk10"]


@pytest.mark.parametrize(
    ("status_code", "last_used_at", "started_at"),
    [
        (103, "2026-11-20T06:02:51.123456789Z", datetime(2026, 11, 20, 6, 2, 51, tzinfo=UTC)),
        (103, "2026-11-20T08:02:51.5+02:00", datetime(2026, 11, 20, 6, 2, 51, tzinfo=UTC)),
        (102, "2026-11-20T06:02:51Z", None),
        (103, "1970-01-01T00:00:00Z", None),
        (103, "0001-01-01T00:00:00Z", None),
        (103, "", None),
        (103, "yesterday", None),
    ],
)
def test_a_running_instance_was_started_at_its_last_use(
    status_code: int, last_used_at: str, started_at: datetime | None
) -> None:
    assert read(instance(status_code=status_code, last_used_at=last_used_at)).started_at == started_at

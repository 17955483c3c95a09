"""Domains become guests: from recorded statistics of libvirt 9.0 (QEMU 7.2), and from domain XML."""

from __future__ import annotations

from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.disks.volume_names import volume_name
from common.values import GuestDisk, GuestNic, NicKind, OwnershipMarker, PowerState
from rackd.drivers.libvirt.connection.client import BulkDomain
from rackd.drivers.libvirt.connection.events import change_of
from rackd.drivers.libvirt.connection.test_driver import DomainStats, completed
from rackd.drivers.libvirt.definitions.domain_config import HostNics, domain_config
from rackd.drivers.libvirt.inventory.guests import (
    guest_of_domain,
    listing,
    paths_of,
    power_of,
)
from rackd.drivers.libvirt.inventory.pool_paths import PoolPaths
from rackd.drivers.libvirt.xml import parse

INSTALLATION = UUID("00000000-0000-4000-8000-00000000000a")
MACHINE = UUID("be92b969-8fab-405d-a684-c53778925c45")
MARKER = OwnershipMarker(installation_id=INSTALLATION, machine_id=MACHINE)
VOLUME_PATH = f"/var/lib/libvirt/images/{volume_name(MARKER, 0)}"
PATHS = PoolPaths(
    paths=(
        ("/var/lib/libvirt/images", "images"),
        ("/var/lib/libvirt/images/fast", "fast"),
        ("/dev/vg0", "vg"),
        ("", "x"),
    )
)
OFF: DomainStats = {
    "state.state": 5,
    "state.reason": 0,
    "balloon.current": 65536,
    "balloon.maximum": 131072,
    "vcpu.current": 2,
    "vcpu.maximum": 4,
    "block.count": 5,
    "block.0.name": "vda",
    "block.0.path": VOLUME_PATH,
    "block.0.allocation": 10002432,
    "block.0.capacity": 1000000000,
    "block.0.physical": 1000000000,
    "block.1.name": "vdb",  # of type volume, or an empty drive: a domain that is off reports nothing more
    "block.2.name": "vdc",
    "block.2.path": "/var/lib/libvirt/images/missing",
    "block.3.name": "hda",
    "block.3.path": "/var/lib/libvirt/images/debian.ISO",
    "block.3.allocation": 5001216,
    "block.3.capacity": 5000000,
    "block.3.physical": 5000000,
    "block.4.name": "hdb",
}
ON: DomainStats = {
    **OFF,
    "state.state": 1,
    "block.count": 1,
    "block.0.rd.reqs": 0,
    "block.0.allocation": 0,
    "block.0.physical": 10006528,
}


def bulk(stats: DomainStats, *, uuid: UUID = MACHINE, name: str = "one") -> BulkDomain:
    return BulkDomain(name=name, uuid=str(uuid), stats=stats, handle=Unread())


# Of a guest that hangs or has a job: libvirt does not wait for QEMU's answer.
BUSY: DomainStats = {
    key: value for key, value in ON.items() if not key.endswith((".rd.reqs", ".allocation", ".capacity", ".physical"))
}


class Unread:
    def xml(self) -> str:
        raise AssertionError("a listing reads no definition")


def test_statistics_alone_make_a_guest() -> None:
    found = listing([bulk(OFF)], PATHS, INSTALLATION, {})
    guest = found.guests[0]
    assert (guest.name, guest.guest_id, guest.power) == ("one", str(MACHINE), PowerState.OFF)
    assert (guest.cores, guest.memory_mib) == (2, 128)
    assert guest.disks == (
        GuestDisk(device="vda", size_bytes=1_000_000_000, pool_id="images", volume=volume_name(MARKER, 0)),
        GuestDisk(device="vdc", size_bytes=0, pool_id="images", volume="missing"),
    )


@pytest.mark.parametrize("device", ["cdrom", "floppy"])
def test_a_drive_is_no_disk_whatever_its_image_is_named(device: str) -> None:
    """Statistics show no kind of device."""
    config = domain_config(parse(DEFINITION.replace("device='disk'", f"device='{device}'", 1), "a guest"))
    stats = {**OFF, "block.0.path": "/var/lib/libvirt/images/seed.img"}
    (guest,) = listing([bulk(stats)], PATHS, INSTALLATION, {str(MACHINE): config}).guests
    assert [disk.device for disk in guest.disks] == ["vdc"]


def test_a_disk_of_unknown_size_is_a_problem() -> None:
    found = listing([bulk(OFF)], PATHS, INSTALLATION, {})
    assert [(problem.subject, "vdc" in problem.message) for problem in found.problems] == [("one", True)]


def test_a_file_in_a_folder_of_a_pool_takes_space_there_and_is_no_volume() -> None:
    path = "/var/lib/libvirt/images/web/data.img"
    found = listing([bulk({**ON, "block.0.path": path})], PATHS, INSTALLATION, {}, volumes={"images": {"data.img"}})
    assert found.guests[0].disks == (GuestDisk(device="vda", size_bytes=1_000_000_000, pool_id="images"),)
    assert found.used_bytes == {"images": 10006528}


@pytest.mark.parametrize("listed", [True, False], ids=["its volume exists", "its volume was deleted"])
def test_the_disks_of_a_busy_guest_are_unread(*, listed: bool) -> None:
    volumes = {"images": {volume_name(MARKER, 0)} if listed else set()}
    found = listing([bulk(BUSY)], PATHS, INSTALLATION, {}, volumes=volumes)
    assert [(disk.device, disk.size_bytes, disk.missing) for disk in found.guests[0].disks] == [("vda", 0, not listed)]
    assert [problem.subject for problem in found.problems] == (["one"] if listed else [])


@pytest.mark.parametrize(
    ("stats", "volumes", "missing"),
    [
        (OFF, {"images": {volume_name(MARKER, 0)}}, {"vdc"}),  # QEMU cannot open the other one
        (OFF, {"images": {volume_name(MARKER, 0), "missing"}}, set()),  # it exists, and cannot be read
        (OFF, {}, set()),  # a pool whose volumes are unknown
        (OFF, {"images": {"missing"}}, set()),  # libvirt does not list each file, and this one can be opened
        (ON, {"images": {"others"}}, {"vda"}),  # QEMU has opened ours before it was deleted
        (ON, {"images": {volume_name(MARKER, 0)}}, set()),
        ({**ON, "block.0.path": "/var/lib/libvirt/images/theirs"}, {"images": {"others"}}, set()),
        ({**BUSY, "block.0.path": "/var/lib/libvirt/images/theirs"}, {"images": {"others"}}, set()),
        ({**OFF, "block.2.path": "/var/lib/libvirt/images/folder/x"}, {"images": {volume_name(MARKER, 0)}}, set()),
    ],
)
def test_a_volume_that_is_neither_listed_nor_readable_is_missing(
    stats: DomainStats, volumes: dict[str, set[str]], missing: set[str]
) -> None:
    (guest,) = listing([bulk(stats)], PATHS, INSTALLATION, {}, volumes=volumes).guests
    assert {disk.device for disk in guest.disks if disk.missing} == missing


def test_used_bytes_are_equal_on_and_off() -> None:
    at_rest = listing([bulk(OFF)], PATHS, INSTALLATION, {}).used_bytes["images"]
    running = listing([bulk(ON)], PATHS, INSTALLATION, {}).used_bytes["images"]
    assert (at_rest, running) == (10002432, 10006528)


def test_a_shared_disk_counts_once() -> None:
    both = listing([bulk(ON), bulk(ON, uuid=INSTALLATION, name="two")], PATHS, INSTALLATION, {})
    assert both.used_bytes == {"images": 10006528}


def test_odd_image_sizes_round_up_to_sectors() -> None:
    at_rest = {**ON, "block.0.capacity": 5_000_000}
    running = {**ON, "block.0.capacity": 5_000_192}
    assert [listing([bulk(stats)], PATHS, INSTALLATION, {}).guests[0].disks for stats in (at_rest, running)] == [
        listing([bulk(running)], PATHS, INSTALLATION, {}).guests[0].disks
    ] * 2


def test_id_and_disk_names_identify_managed_guests() -> None:
    assert listing([bulk(OFF)], PATHS, INSTALLATION, {}).guests[0].marker == MARKER


def test_other_ids_disks_or_installations_are_foreign() -> None:
    for domain, installation in (
        (bulk(OFF, uuid=INSTALLATION), INSTALLATION),
        (bulk({**OFF, "block.count": 0}), INSTALLATION),
        (bulk(OFF), MACHINE),
    ):
        assert listing([domain], PATHS, installation, {}).guests[0].marker is None


def test_a_guest_without_its_disk_stays_managed() -> None:
    lost = {key: value for key, value in OFF.items() if key != "block.0.capacity"}
    for stats, paths in ((lost, PATHS), (OFF, PoolPaths(paths=()))):
        assert listing([bulk(stats)], paths, INSTALLATION, {}).guests[0].marker == MARKER


def test_incomplete_statistics_are_a_problem() -> None:
    found = listing([bulk({"state.state": 1}, name="busy"), bulk(ON)], PATHS, INSTALLATION, {})
    assert [guest.name for guest in found.guests] == ["one"]
    assert [problem.subject for problem in found.problems] == ["busy"]


@given(st.integers())
def test_every_state_maps_to_a_power_state(state: int) -> None:
    assert power_of(state) in PowerState


def test_only_disks_with_a_source_are_in_use() -> None:
    assert paths_of(OFF) == {VOLUME_PATH, "/var/lib/libvirt/images/missing"}


DEFINITION = f"""
<domain type='kvm'>
  <name>odd</name><uuid>{MACHINE}</uuid>
  <metadata>
    <other xmlns='http://example.org/other'/>
    <m:marker xmlns:m='urn:innkeeper:marker:1' installation='{INSTALLATION}' machine='{MACHINE}'/>
  </metadata>
  <memory unit='GiB'>2</memory><memoryBacking><hugepages/></memoryBacking>
  <vcpu current='2'>4</vcpu>
  <cputune>
    <vcpupin vcpu='0' cpuset='3'/><vcpupin vcpu='1' cpuset='1'/><vcpupin vcpu='2' cpuset='4-7'/>
    <emulatorpin cpuset='0'/>
  </cputune>
  <os><type arch='aarch64' machine='virt'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><source file='{VOLUME_PATH}'/><target dev='vda'/><serial>abc</serial></disk>
    <disk type='block'><source dev='/dev/vg0/lv'/><target dev='vdb'/></disk>
    <disk type='file' device='cdrom'><source file='/x.img'/><target dev='sda'/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='pool/image'/><target dev='vdc'/></disk>
    <interface type='direct'><mac address='52:54:00:00:00:01'/><source dev='eth0' mode='bridge'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/></interface>
    <interface type='user'><mac address='52:54:00:00:00:03'/></interface>
    <interface type='network'><mac address='52:54:00:00:00:04'/><source network='default'/></interface>
    <interface type='hostdev'><mac address='52:54:00:00:00:05'/></interface>
    <interface type='vhostuser'><mac address='52:54:00:00:00:06'/></interface>
  </devices>
</domain>
"""


def test_domain_xml_makes_a_complete_guest() -> None:
    guest = guest_of_domain(DEFINITION, ON, PATHS)
    assert (guest.name, guest.marker, guest.power, guest.architecture) == ("odd", MARKER, PowerState.ON, "arm64")
    assert (guest.cores, guest.memory_mib, guest.huge_pages_backed, guest.pinned_core_ids) == (2, 2048, True, (1, 3))
    assert guest.disks == (
        GuestDisk(
            device="vda", size_bytes=1_000_000_000, pool_id="images", volume=volume_name(MARKER, 0), serial="abc"
        ),
        GuestDisk(device="vdb", size_bytes=0, pool_id="vg", volume="lv"),
    )
    assert guest.nics == (
        GuestNic(mac_address="52:54:00:00:00:01", kind=NicKind.MACVLAN, source="eth0"),
        GuestNic(mac_address="52:54:00:00:00:02", kind=NicKind.BRIDGE, source="br0"),
        GuestNic(mac_address="52:54:00:00:00:03", kind=NicKind.USER),
        GuestNic(mac_address="52:54:00:00:00:04", kind=NicKind.NETWORK, source="default"),
        GuestNic(mac_address="52:54:00:00:00:05", kind=NicKind.SRIOV),
        GuestNic(mac_address="52:54:00:00:00:06", kind=NicKind.OTHER),
    )


def test_listed_guests_have_their_domain_config() -> None:
    tree = parse(DEFINITION, "a guest")
    configs = {str(MACHINE): domain_config(tree)}
    whole, partial = (listing([bulk(ON)], PATHS, INSTALLATION, known).guests[0] for known in (configs, {}))
    alone = guest_of_domain(DEFINITION, ON, PATHS)
    assert (whole.is_complete, partial.is_complete) == (True, False)
    for key in ("architecture", "huge_pages_backed", "pinned_core_ids", "nics", "marker"):
        assert getattr(whole, key) == getattr(alone, key)
    assert whole.disks == alone.disks[:1]
    assert (partial.architecture, partial.huge_pages_backed) == ("", False)
    assert (partial.pinned_core_ids, partial.nics) == ((), ())


FUNCTION = "<address type='pci' domain='0x0000' bus='0x3b' slot='0x02' function='0x1'/>"
OTHER_DEVICE = FUNCTION.replace("0x3b", "0x00")
PORTS = HostNics(by_address={"0000:3b:02.1": "eth3"}, by_network={"shared": "eth4"})


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (f"<interface type='hostdev'><mac address='a'/><source>{FUNCTION}</source></interface>", [("a", "eth3")]),
        ("<interface type='network'><mac address='a'/><source network='shared'/></interface>", [("a", "eth4")]),
        (f"<hostdev mode='subsystem' type='pci'><source>{FUNCTION}</source></hostdev>", [("", "eth3")]),
        (f"<hostdev mode='subsystem' type='pci'><source>{OTHER_DEVICE}</source></hostdev>", []),
    ],
    ids=["a NIC", "a NIC in the network of the port", "an assigned function", "another device"],
)
def test_virtual_functions_are_listed_with_their_port(device: str, expected: list[tuple[str, str]]) -> None:
    tree = parse(f"<domain><devices>{device}</devices></domain>", "a guest")
    nics = domain_config(tree).nics_on(PORTS)
    assert [(nic.mac_address, nic.source) for nic in nics if nic.kind is NicKind.SRIOV] == expected
    assert len(nics) == len(expected)


@pytest.mark.parametrize(
    ("vcpus", "pins", "cores"),
    [
        ("<vcpu cpuset='5'>2</vcpu>", "", (5,)),
        ("<vcpu cpuset='5'>2</vcpu>", "<vcpupin vcpu='1' cpuset='6'/>", (5, 6)),
        ("<vcpu cpuset='5'>1</vcpu>", "<vcpupin vcpu='0' cpuset='6'/>", (6,)),
        ("<vcpu cpuset='4-5'>2</vcpu>", "<vcpupin vcpu='0' cpuset='2,3'/>", ()),
        ("<vcpu current='1'>3</vcpu>", "<vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='6'/>", (4,)),
        ("<vcpu current='1' cpuset='5'>2</vcpu>", "<vcpupin vcpu='0' cpuset='4'/>", (4,)),
        (
            "<vcpu current='2'>3</vcpu><vcpus><vcpu id='0' enabled='yes'/><vcpu id='1' enabled='no'/>"
            "<vcpu id='2' enabled='yes'/></vcpus>",
            "<vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='3'/><vcpupin vcpu='2' cpuset='6'/>",
            (1, 6),
        ),
        ("<vcpu>1</vcpu>", "<vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='7' cpuset='3'/>", (1,)),
    ],
)
def test_only_single_core_cpusets_of_cores_that_are_on_are_pins(vcpus: str, pins: str, cores: tuple[int, ...]) -> None:
    tree = parse(f"<domain>{vcpus}<cputune>{pins}</cputune></domain>", "a guest")
    assert domain_config(tree).pinned_core_ids == cores


def test_malformed_or_missing_markers_are_none() -> None:
    malformed = DEFINITION.replace(f"installation='{INSTALLATION}'", "installation='x'")
    missing = DEFINITION.replace("urn:innkeeper:marker:1", "urn:innkeeper:marker:9")
    incomplete = DEFINITION.replace(f"machine='{MACHINE}'", "")
    assert [guest_of_domain(xml, ON, PATHS).marker for xml in (malformed, missing, incomplete)] == [None] * 3


def test_test_driver_statistics_are_completed() -> None:
    full = completed({"state.state": 5}, DEFINITION, {VOLUME_PATH: 7}.get)
    assert (full["vcpu.current"], full["balloon.maximum"]) == (2, 2 * 1024 * 1024)
    assert (full["block.0.path"], full["block.0.capacity"]) == (VOLUME_PATH, 7)
    assert "block.1.capacity" not in full


def test_lifecycle_events_become_changes() -> None:
    changes = [change_of("one", "id", event, 0) for event in range(9)]
    assert [(change.event.value, change.power) if change else None for change in changes] == [
        ("appeared", None),
        ("gone", None),
        ("power", PowerState.ON),
        ("power", PowerState.PAUSED),
        ("power", PowerState.ON),
        ("power", PowerState.OFF),
        None,
        ("power", PowerState.PAUSED),
        ("changed", None),
    ]
    renamed = change_of("one", "id", 0, 2)
    assert renamed is not None
    assert renamed.event.value == "changed"


def test_disk_names_without_a_marker_are_foreign() -> None:
    """A foreign guest has no generation either."""
    tree = parse(DEFINITION.replace(" installation=", " generation='5' installation="), "a guest")
    config = domain_config(tree)
    for marker, expected in (
        (config.marker, config.marker),
        (None, None),
        (OwnershipMarker(installation_id=MACHINE, machine_id=MACHINE), None),
    ):
        configs = {str(MACHINE): evolve(config, marker=marker)}
        (found,) = listing([bulk(ON)], PATHS, INSTALLATION, configs).guests
        assert (found.marker, found.generation) == (expected, None if expected is None else 5)

"""Tables and records on a terminal."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.output.cells import cell
from innkeeper.output.special_tables import NUMA_NOTE
from innkeeper.output.tables import rendered, shown_columns
from innkeeper.view import View
from regiond.api.serializers.adoption import DETACHED_MACHINE_JSON, FORGOTTEN_MACHINE_JSON
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.api.serializers.networks import HOST_INTERFACE_JSON, SUBNET_JSON, VLAN_JSON, InterfaceOfHost
from regiond.api.serializers.vm_hosts.capacity import NUMA_NODE_JSON
from regiond.api.serializers.vm_hosts.clusters import CLUSTER_JSON
from regiond.api.serializers.vm_hosts.hosts import VIRTUAL_MACHINE_JSON
from regiond.clusters.model import ClusterPool
from regiond.hosts.model import Amounts
from tests.unit.answers import ANSWERS
from tests.unit.support.cli_region import HOST, MACHINE
from tests.unit.support.host_samples import CLUSTER
from tests.unit.support.machine_samples import GUEST
from tests.unit.support.machine_samples import MACHINE as SAMPLE_MACHINE
from tests.unit.support.network_samples import INTERFACES, IPV6_SUBNET, SUBNET, VLAN

GB = 10**9
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def text_of(plain: Any, resource: str, **view: Any) -> str:
    return rendered(plain, resource, view=View(**view)).text + "\n"


def columns_of(rows: list[Any], kind: str) -> list[str]:
    return [one.key for one in shown_columns(rows, kind)]


def rows_of(plain: Any, resource: str, **view: Any) -> list[list[str]]:
    return [line.split() for line in text_of(plain, resource, **view).splitlines() if line.strip()]


def test_hosts_show_used_and_total_capacity() -> None:
    head, row = rows_of([HOST], "vm-hosts")
    assert head == ["id", "name", "type", "cores", "memory", "GiB", "storage", "GB", "tags"]
    assert row == ["1", "local", "virsh", "1/4", "1.0/8.0", "40/100", "virtual"]


def test_the_zone_of_hosts_is_shown_where_one_is_not_the_default() -> None:
    head, *_ = rows_of([HOST, {**HOST, "zone": {"id": 2, "name": "east"}}], "vm-hosts")
    assert ("zone" in head, "pool" in head) == (True, False)


def test_unknown_capacity_is_shown_as_a_dash() -> None:
    pending = {**HOST, "total": {"cores": None, "memory": None, "local_storage": None}, "id": 2}
    assert rows_of([HOST, pending], "pods")[2][3:6] == ["1/-", "1.0/-", "40/-"]


def test_one_host_shows_its_storage_pools_below() -> None:
    rows = rows_of(HOST, "vm-host")
    assert ["name", "local"] in rows
    assert ["zone", "default"] in rows
    assert ["name", "type", "total", "GB", "free", "GB", "path"] in rows


def test_the_error_of_a_host_is_shown_in_full() -> None:
    advice = f"{'LXD rejects the certificate. ' * 15}On that server: curl … | lxc config trust add -"
    assert cell({"code": "not_trusted", "message": advice}) == advice
    assert len(cell("x" * 5000)) < 1100


def test_amounts_and_timestamps_are_readable() -> None:
    assert cell(HOST["total"]) == "4 cores, 8.0 GiB memory, 100 GB storage"
    assert cell("2026-11-20T08:30:00.123456+00:00") == "2026-11-20 08:30:00Z"
    assert cell("2026-11-20T08:30:00+02:00") == "2026-11-20T08:30:00+02:00"


def test_empty_columns_are_not_shown() -> None:
    assert columns_of([MACHINE], "machines") == ["system_id", "hostname", "power_state", "status_name", "memory"]


def test_an_unknown_list_shows_its_scalar_keys() -> None:
    assert columns_of([{"a": 1, "b": {"x": 1}, "resource_uri": "/x", "c": None}], "things") == ["a", "c"]


def test_numa_nodes_have_a_row_per_resource() -> None:
    nodes = [NUMA_NODE_JSON.encode(node) for node in ANSWERS["hosts.numa"]]
    for command in ("vm-host numa", "pod numa"):
        assert rows_of(nodes, command) == [
            ["node", "resource", "total", "used", "by", "ours", "used", "by", "others", "free", "free", "cores"],
            ["0", "cores", "4", "1", "1", "2", "0-1"],
            ["0", "memory", "MiB", "24576", "1024", "0", "23552", "-"],
            ["0", "pages", "of", "2", "MiB", "0", "0", "0", "0", "-"],
            ["0", "pages", "of", "1", "GiB", "8", "0", "3", "5", "-"],
            ["0", "functions", "of", "ens1f0,", "ens1f1", "64", "1", "0", "63", "-"],
            ["1", "cores", "4", "1", "0", "3", "4,6-7"],
            ["1", "memory", "MiB", "16384", "1024", "0", "15360", "-"],
            ["all", "cores", "8", "5", "1", "2", "-"],
            ["all", "memory", "MiB", "40960", "11264", "512", "29184", "-"],
            *[line.split() for line in NUMA_NOTE.splitlines()],
        ]


def test_a_cluster_is_shown_in_the_units_of_a_host() -> None:
    cluster = CLUSTER_JSON.encode(
        evolve(
            CLUSTER,
            total=Amounts(cores=96, memory_mib=73728, storage_bytes=3 * GB),
            used=Amounts(cores=18, memory_mib=36864, storage_bytes=GB),
            storage_pools={
                "fast": ClusterPool(total_bytes=3 * GB, tracked_bytes=GB, other_bytes=GB // 2, backend="zfs")
            },
        )
    )
    del cluster["capacity"]
    rows = rows_of(cluster, "vm-cluster read")
    assert ["cores", "used", "18", "of", "96"] in rows
    assert ["memory", "used", "36.0", "of", "72.0", "GiB"] in rows
    everything = [" ".join(row) for row in rows_of(cluster, "vm-cluster", all=True)]
    assert "total 96 cores, 72.0 GiB memory, 3 GB storage" in everything
    assert rows[-2:] == [
        ["name", "type", "total", "GB", "free", "GB"],
        ["fast", "zfs", "3.0", "0.0"],
    ]
    head, row = rows_of([cluster], "vm-clusters read")
    assert head[-5:] == ["cores", "memory", "GiB", "storage", "GB"]
    assert row[-3:] == ["18/96", "36.0/72.0", "1/3"]


def test_memory_and_storage_of_a_machine_have_their_units() -> None:
    machine = MACHINE_JSON.encode(SAMPLE_MACHINE)
    rows = rows_of(machine, "machine read")
    gib, gb = f"{SAMPLE_MACHINE.memory_mib / 1024:.1f}", f"{SAMPLE_MACHINE.disks[0].size_bytes / GB:.1f}"
    assert ["memory", gib, "GiB"] in rows
    assert ["storage", f"{sum(disk.size_bytes for disk in SAMPLE_MACHINE.disks) / GB:.1f}", "GB"] in rows
    assert gb in next(row for row in rows if row[1:2] == ["sda"])
    disk = machine["blockdevice_set"][0]
    assert ["size", gb, "GB"] in rows_of(disk, "block-device read")
    assert rows_of([disk], "block-devices read")[0][:4] == ["id", "name", "size", "GB"]


def test_vlans_are_shown_with_fabric_and_tag() -> None:
    assert rows_of([SUBNET_JSON.encode(SUBNET), SUBNET_JSON.encode(IPV6_SUBNET)], "subnets") == [
        ["id", "cidr", "name", "vlan", "space", "gateway", "dns", "servers"],
        ["3", "10.1.0.0/24", "dmz", "fabric-0/100", "dmz", "front", "10.1.0.1", "10.1.0.2,", "9.9.9.9"],
        ["4", "2001:db8::/64", "2001:db8::/64", "fabric-0/untagged", "undefined", "-", "-"],
    ]
    assert rows_of([VLAN_JSON.encode(VLAN)], "vlans") == [
        ["id", "fabric", "vid", "name", "space", "mtu", "dhcp"],
        ["5002", "fabric-0", "100", "dmz", "front", "9000", "yes"],
    ]


def test_interfaces_show_their_addresses_and_subnets() -> None:
    head, bridge, port = rows_of(
        [HOST_INTERFACE_JSON.encode(InterfaceOfHost(interface=each, all_of_host=INTERFACES)) for each in INTERFACES],
        "interfaces",
    )
    assert head == ["id", "name", "type", "mac", "address", "vlan", "address", "tags", "enabled", "attachable"]
    assert bridge[4:] == ["fabric-0/100", "dmz", "10.1.0.1", "dmz", "fast", "yes", "yes"]
    assert port[4:] == ["fabric-0/untagged", "2001:db8::/64", "-", "no", "no"]
    assert cell({"id": 1, "mode": "dhcp", "subnet": SUBNET_JSON.encode(SUBNET)}) == "dhcp dmz"


def test_reserved_addresses_are_shown_with_their_purpose() -> None:
    taken = {"start": "10.1.0.1", "end": "10.1.0.2", "num_addresses": 2, "purpose": ["dynamic", "reserved"]}
    assert rows_of([taken], "subnet reserved-ip-ranges")[1] == ["10.1.0.1", "10.1.0.2", "2", "dynamic,", "reserved"]


def test_used_addresses_are_shown_with_the_names_of_their_users() -> None:
    used = {"ip": "10.1.0.1", "alloc_type_name": "Discovered", "system_id": None, "host": "k3xq7a"}
    machine = {"ip": "10.1.0.7", "alloc_type_name": "Sticky", "system_id": "wdpx3n", "hostname": "web", "host": None}
    head, *rows = rows_of([{**used, "host_name": "hv-01"}, machine], "subnet ip-addresses")
    assert head == ["ip", "type", "machine", "host"]
    assert rows == [["10.1.0.1", "Discovered", "-", "hv-01"], ["10.1.0.7", "Sticky", "web", "-"]]


def test_an_empty_list_says_what_there_is_none_of() -> None:
    empty = {"vm-hosts read": "No VM hosts.", "machines read": "No machines.", "vm-host guests": "None."}
    assert {command: text_of([], command).strip() for command in empty} == empty
    assert text_of({"events": [], "count": 0}, "events query") == "No events.\n"


def test_one_subnet_is_short() -> None:
    assert "rdns" not in text_of(SUBNET_JSON.encode(SUBNET), "subnet read")


def test_ages_have_a_unit() -> None:
    for age_s, text in ((40, "40s"), (500, "8m"), (8000, "2h"), (90_000, "25h"), (200_000, "2d")):
        assert rows_of([{"name": "r", "state": "connected", "age_s": age_s}], "racks read")[1][-1] == text


def test_a_placement_shows_only_what_is_known() -> None:
    rejected = [{"host": "one", "reasons": ["is in maintenance"], "host_id": 1}]
    place = {"chosen": None, "chosen_id": None, "disks": [], "notes": [], "nics": [], "pinned_cores": [],
             "huge_pages": [], "fitting": [], "rejected": rejected, "summarized": []}  # fmt: skip
    lines = text_of(place, "vm-hosts place").splitlines()
    assert lines[0] == "chosen  none"
    assert not any(line.startswith(("notes", "disks", "fitting")) for line in lines)


def test_names_cannot_control_the_terminal_or_be_markup() -> None:
    assert cell("a\x1b[31mb\r") == "a?[31mb?"
    assert "[red]x[/red]" in text_of({"name": "[red]x[/red]"}, "zone")


@given(JSON_VALUES, st.sampled_from(["vm-hosts", "machines", "things"]))
def test_any_json_can_be_written(plain: Any, resource: str) -> None:
    assert text_of(json.loads(json.dumps(plain)), resource)


def test_an_explanation_is_shown_host_by_host() -> None:
    tried = [{"host": "one", "error": "no storage pool", "host_id": 1}]
    explanation = {"chosen": "two", "fitting": [{"host": "two", "score": 0.5, "host_id": 2}], "tried": tried}
    for command in ("machines allocate", "operation read"):
        rows = rows_of({"system_id": None, "explanation": explanation}, command)
        assert [row for row in rows if row] == [
            ["system", "id", "-"],
            ["chosen", "two"],
            ["fitting"],
            ["host", "score", "host", "id"],
            ["two", "0.5", "2"],
            ["tried"],
            ["host", "error", "host", "id"],
            ["one", "no", "storage", "pool", "1"],
        ]


def test_machines_show_their_owner() -> None:
    assert "owner" in columns_of([{**MACHINE, "owner": "ann"}], "machines")
    assert rows_of(["wdpx3n", "abcdef"], "machines release") == [["wdpx3n"], ["abcdef"]]


def test_foreign_virtual_machines_have_no_system_id() -> None:
    foreign = evolve(GUEST, id=18, name="legacy", machine_id=None, system_id=None, hostname=None)
    assert rows_of([VIRTUAL_MACHINE_JSON.encode(one) for one in (GUEST, foreign)], "virtual-machines read") == [
        ["id", "name", "host", "power", "cores", "memory", "GiB", "system", "id", "hostname"],
        ["17", "quick-fox", "hv-01", "on", "2", "4.0", "wdpx3n", "quick-fox"],
        ["18", "legacy", "hv-01", "on", "2", "4.0", "-", "-"],
    ]


def test_adopted_guests_show_their_machine_and_their_operation() -> None:
    machine, operation = {"system_id": "wdpx3n", "hostname": "web-1"}, {"id": 7, "kind": "adopt", "state": "succeeded"}
    failed = {**operation, "id": 8, "state": "failed", "hostname": "db", "error": {"code": "gone", "message": "No db."}}
    rows = [
        {"guest": "managed", **machine, "operation": None, "rejected": None},
        {"guest": "Web_1", **machine, "operation": {**operation, "hostname": "web-1"}, "rejected": None},
        {"guest": "db", "system_id": "abcdef", "hostname": "db", "operation": failed, "rejected": None},
        {"guest": "box", "system_id": None, "hostname": None, "operation": None, "rejected": "a container"},
    ]
    for command in ("vm-host adopt", "pod adopt"):
        assert rows_of(rows, command) == [
            ["guest", "system", "id", "hostname", "operation", "rejected"],
            ["managed", "wdpx3n", "web-1", "-", "-"],
            ["Web_1", "wdpx3n", "web-1", "7", "succeeded", "-"],
            ["db", "abcdef", "db", "8", "failed:", "No", "db.", "-"],
            ["box", "-", "-", "-", "a", "container"],
        ]


def test_detached_and_forgotten_machines_have_their_own_columns() -> None:
    (detached,) = [DETACHED_MACHINE_JSON.encode(one) for one in ANSWERS["adoption.detached"]]
    (forgotten,) = [FORGOTTEN_MACHINE_JSON.encode(one) for one in ANSWERS["adoption.forgotten"]]
    head, row = rows_of([detached], "machines detached")
    assert head == ["system", "id", "hostname", "host", "cores", "memory", "GiB", "pool", "zone", "detached", "at"]
    assert row[:5] == ["wdpx3n", "quick-fox", "hv-01", "2", "4.0"]
    head, row = rows_of([forgotten], "machines forgotten")
    assert head == ["system", "id", "hostname", "host", "guest", "virtual", "machine", "forgotten", "at", "user"]
    assert row[:5] == ["wdpx3n", "web-1", "hv-01", "Web_1", "17"]

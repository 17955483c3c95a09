"""LXD's responses become host facts, and its events become changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from common.errors import HostUnreachable, NotFound, NotTrusted, Unsupported
from common.values import Guest, GuestDisk, GuestEvent, PowerState
from rackd.drivers.lxd.connection import capabilities
from rackd.drivers.lxd.connection.client import Scope
from rackd.drivers.lxd.connection.events import change_of
from rackd.drivers.lxd.inventory import facts
from rackd.drivers.lxd.inventory.volume_index import parse_volume

GIB = 1024**3
SERVER: dict[str, Any] = {
    "api_extensions": [*capabilities.REQUIRED, "resources"],
    "auth": "trusted",
    "environment": {
        "driver": "lxc | qemu",
        "kernel_architecture": "aarch64",
        "server_version": "5.21.3",
        "server_clustered": False,
        "server_name": "vm",
        "certificate_fingerprint": "ab" * 32,
    },
}


def threads(node: int, *ids: int) -> list[dict[str, Any]]:
    return [{"threads": [{"id": one, "numa_node": node, "online": True}]} for one in ids]


RESOURCES: dict[str, Any] = {
    "cpu": {
        "total": 4,
        "sockets": [
            {"name": "Some CPU", "frequency_turbo": 3900, "cores": threads(0, 0, 2)},
            {"name": "Some CPU", "frequency_turbo": 3900, "cores": threads(1, 1, 3)},
        ],
    },
    "memory": {
        "total": 24 * GIB,
        "hugepages_size": 2 * 1024**2,
        "nodes": [
            {"numa_node": 0, "total": 16 * GIB, "hugepages_total": 1 * GIB},
            {"numa_node": 1, "total": 8 * GIB, "hugepages_total": 0},
        ],
    },
}
ANSWERS = facts.ServerResponses(
    server=SERVER,
    resources=RESOURCES,
    pools=[{"name": "main", "driver": "zfs", "config": {"source": "tank"}}, {"name": "bare", "driver": "dir"}],
    pool_space={
        "main": {"space": {"total": 100 * GIB, "used": 10 * GIB}},
        "bare": {"space": {"total": 50 * GIB, "used": 7 * GIB + 1}},
    },
    networks=[],
    projects=[{"name": "default"}],
)


def guest(name: str, size_gib: int, *, project: str = "default", pool: str = "main") -> Guest:
    disk = GuestDisk(device="root", size_bytes=size_gib * GIB, pool_id=pool)
    return Guest(
        name=name, guest_id=name, power=PowerState.OFF, cores=2, memory_mib=512, project=project, disks=(disk,)
    )


def clustered(member: str) -> dict[str, Any]:
    environment = {**SERVER["environment"], "server_clustered": True, "server_name": member}
    return {**SERVER, "environment": environment}


def test_numa_nodes_have_threads_memory_and_huge_pages() -> None:
    found = facts.facts_of(ANSWERS, ())
    assert (found.cores, found.memory_mib, found.architecture) == (4, 24 * 1024, "arm64")
    first, second = found.numa_nodes
    assert (first.core_ids, first.memory_mib) == ((0, 2), 16 * 1024)
    assert [(pages.size_kib, pages.total) for pages in first.huge_pages] == [(2048, 512)]
    assert (second.core_ids, second.memory_mib, second.huge_pages[0].total) == ((1, 3), 8 * 1024, 0)


def test_siblings_omit_offline_threads() -> None:
    cores = [{"threads": [{"id": one, "numa_node": 0, "online": one != 5} for one in ids]} for ids in ((6, 2), (1, 5))]
    (node,) = facts.numa_nodes({"cpu": {"sockets": [{"cores": cores}]}, "memory": {"total": GIB}})
    assert (node.core_ids, node.siblings) == ((1, 2, 6), ((1,), (2, 6)))


def test_a_server_without_numa_has_one_node() -> None:
    memory = {"total": 4 * GIB, "hugepages_size": 0}
    cpu = {"total": 1, "sockets": [{"name": "X", "cores": threads(0, 0)}]}
    (node,) = facts.numa_nodes({"cpu": cpu, "memory": memory})
    assert (node.core_ids, node.memory_mib, node.huge_pages) == ((0,), 4096, ())


@pytest.mark.parametrize(
    ("socket", "mhz"),
    [
        ({"name": "Intel(R) Xeon(R) CPU @ 2.40GHz", "frequency_turbo": 3900}, 2400),
        ({"name": "AMD EPYC", "frequency_turbo": 3900}, 3900),
        ({"name": "AMD EPYC", "cores": [{"frequency": 2210}, {"frequency": 2250}]}, 2200),
        ({"name": "AMD EPYC"}, None),
    ],
)
def test_cpu_speed_uses_the_best_source(socket: Mapping[str, Any], mhz: int | None) -> None:
    assert facts.cpu_speed_mhz({"cpu": {"sockets": [socket]}}) == mhz


def test_pools_report_size_and_space_used_elsewhere() -> None:
    bare, main = facts.facts_of(ANSWERS, [guest("a", 4), guest("b", 2)]).storage_pools
    assert (main.pool_id, main.type, main.path, main.total_bytes) == ("main", "zfs", "tank", 100 * GIB)
    assert main.used_elsewhere_bytes == 4 * GIB
    assert (bare.path, bare.used_elsewhere_bytes) == ("Unknown", 8 * GIB)


def test_unattached_volumes_count_with_their_full_size() -> None:
    unattached = {"name": "x", "type": "custom", "content_type": "block", "config": {"size": "30GiB"}, "used_by": []}
    answers = evolve(ANSWERS, volumes=[parse_volume(unattached, "main")])
    main = facts.facts_of(answers, [guest("a", 50)]).storage_pools[1]
    assert main.used_elsewhere_bytes == 30 * GIB


def test_unreadable_pools_are_omitted() -> None:
    answers = evolve(ANSWERS, pool_space={"main": ANSWERS.pool_space["main"]})
    assert [pool.name for pool in facts.facts_of(answers, ()).storage_pools] == ["main"]


def test_profiles_are_those_of_the_project() -> None:
    profiles: list[dict[str, Any]] = [
        {"name": "maas", "description": "For machines", "config": {}},
        {"name": "default", "description": None},
    ]
    found = facts.facts_of(evolve(ANSWERS, profiles=profiles), ()).profiles
    assert [(profile.name, profile.description) for profile in found] == [("default", ""), ("maas", "For machines")]


def test_virtual_functions_are_not_attachable() -> None:
    functions = {"sriov": {"maximum_vfs": 8, "current_vfs": 1, "vfs": [{"ports": [{"id": "eth0v0"}]}]}}
    network = {"cards": [{"pci_address": "0000:3b:00.0", "ports": [{"id": "eth0"}], **functions}]}
    networks = [{"name": name, "type": "physical", "managed": False} for name in ("eth0", "eth0v0")]
    found = facts.facts_of(evolve(ANSWERS, resources={**RESOURCES, "network": network}, networks=networks), ())
    assert [network.name for network in found.networks] == ["eth0"]
    assert [device.virtual_functions for device in found.network_devices] == [8]


def test_identity_is_certificate_and_member() -> None:
    alone = facts.server_identity(SERVER, None)
    first, second = (facts.server_identity(clustered("m1"), name) for name in ("m1", "m2"))
    assert len({alone, first, second}) == 3
    assert facts.server_identity(clustered("m2"), "m1") == first


def test_the_member_defaults_to_the_responding_one() -> None:
    assert facts.member_of(SERVER, None) is None
    assert facts.member_of(clustered("m1"), None) == "m1"
    assert facts.member_of(clustered("m1"), "m2") == "m2"
    with pytest.raises(NotFound, match="not in a cluster"):
        facts.member_of(SERVER, "m2")


def test_offline_and_unknown_members_raise() -> None:
    members = [
        {"server_name": "m1", "status": "Online", "url": "https://10.0.0.1:8443"},
        {"server_name": "m2", "status": "Offline", "message": "No heartbeat", "url": "https://10.0.0.2:8443"},
    ]
    facts.check_member(members, "m1")
    with pytest.raises(HostUnreachable, match="m2 is offline: No heartbeat"):
        facts.check_member(members, "m2")
    with pytest.raises(NotFound, match="m3"):
        facts.check_member(members, "m3")
    found = facts.facts_of(evolve(ANSWERS, members=members, member="m1"), ()).cluster_members
    assert [(one.name, one.address, one.online) for one in found] == [
        ("m1", "10.0.0.1:8443", True),
        ("m2", "10.0.0.2:8443", False),
    ]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"api_extensions": ["projects"]}, Unsupported, r"virtual-machines, custom_block_volumes.*4\.16"),
        ({"auth": "untrusted", "environment": None}, NotTrusted, "lxc config trust add"),
        ({"environment": {"driver": "lxc"}}, Unsupported, "virtual machines"),
    ],
    ids=["missing API extensions", "untrusted", "without QEMU"],
)
def test_unusable_servers_are_rejected_with_the_reason(
    changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        capabilities.check_usable({**SERVER, **changes}, "https://lxd1:8443")


def test_projects_have_the_sums_of_their_guests() -> None:
    projects = [{"name": "default", "description": "The first"}, {"name": "empty"}]
    first, empty = facts.projects_of(projects, [guest("a", 4), guest("b", 2), guest("c", 9, project="hidden")])
    assert (first.description, first.guests, first.cores, first.memory_mib) == ("The first", 2, 4, 1024)
    assert first.storage_bytes == 6 * GIB
    assert (empty.name, empty.guests, empty.storage_bytes) == ("empty", 0, 0)


def event(action: str, name: str = "vm1", **more: Any) -> dict[str, Any]:
    source = f"/1.0/instances/{name}"
    return {"type": "lifecycle", "metadata": {"action": action, "source": source}, "project": "p", **more}


@pytest.mark.parametrize(
    ("action", "kind", "power"),
    [
        ("instance-started", GuestEvent.POWER, PowerState.ON),
        ("instance-stopped", GuestEvent.POWER, PowerState.OFF),
        ("instance-shutdown", GuestEvent.POWER, PowerState.OFF),
        ("instance-paused", GuestEvent.POWER, PowerState.PAUSED),
        ("instance-created", GuestEvent.APPEARED, None),
        ("instance-deleted", GuestEvent.GONE, None),
        ("instance-updated", GuestEvent.CHANGED, None),
    ],
)
def test_instance_events_become_changes(action: str, kind: GuestEvent, power: PowerState | None) -> None:
    change = change_of(event(action), Scope(project="p"))
    assert change is not None
    assert (change.event, change.guest_name, change.power) == (kind, "vm1", power)


def test_events_outside_the_scope_are_ignored() -> None:
    scope = Scope(project="p", member="m1")
    assert change_of(event("instance-started", location="m1"), scope) is not None
    assert change_of(event("instance-started", location="m2"), scope) is None
    assert change_of(event("instance-started", project="q"), scope) is None
    assert change_of(event("instance-backup-created", "vm1/backups/b"), scope) is None
    assert change_of(event("network-updated"), scope) is None
    assert change_of({"type": "lifecycle"}, scope) is None

"""The dry run: what the database narrows is what placement decides over the whole fleet, and the API tells it whole."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from common.errors import InvalidRequest
from common.values import HugePages, NumaNode
from common.wire import to_plain
from regiond.db.pool import Database
from regiond.machines.candidates import choose
from regiond.machines.model import ComposeRequest
from regiond.placement.model import HostOffer, InterfaceOffer, NodeOffer, Verdict
from regiond.placement.place import Strategy, place
from tests.fleet_networks import SPACES, VLANS
from tests.fleets import POOLS, ZONES, fleet, wish
from tests.installation import Installation, installed
from tests.integration.test_api_installed import written

if TYPE_CHECKING:
    from regiond.db.pool import Db

HOSTS = 40
RACK = uuid4()

_SERVER = """
    insert into server (id, identity, architecture, hypervisor_version, cores, memory_mib, cores_claimed,
                        memory_mib_claimed, cpu_speed_mhz, numa_nodes, pinned_core_ids, huge_memory_mib)
    values ($1, $8, $2, '1', $3, $4, $5, $6, $7, $9, $10, $11)
"""
_STORAGE_POOL = """
    insert into storage_pool (id, server_id, pool_key, name, type, path, total_bytes, used_elsewhere_bytes)
    values ($1, $2, $3, $4, 'dir', '', $5, $6)
"""
_HOST = """
    insert into vm_host (id, name, address, server_id, state, zone_id, pool_id, tags, cpu_over_commit_ratio,
                         memory_over_commit_ratio, default_storage_pool_id, system_id, driver, default_macvlan_mode,
                         reserved_cores, reserved_memory_mib)
    select $1, $2, $2, $3, $4, z.id, p.id, $7, $8, $9, $10, $2::text, $11, $12, $13, $14
      from zone z, resource_pool p where z.name = $5 and p.name = $6
"""
_COUNTED = """
    insert into counted_resource (server_id, resource, key, total, claimed) values ($1, $2, $3, $4, $5)
    on conflict do nothing
"""
_INTERFACE = """
    insert into host_interface (id, host_id, name, kind, type, attachable, active, dhcp, link_speed_mbps, tags, vlan_id,
                                parent)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_KIND_OF_REASON = {
    "not one of": "not asked for",
    "one of the": "not asked for",
    "type": "of another type",
    "zone": "in a zone that was not asked for",
    "resource pool": "in a resource pool that was not asked for",
    "tags": "with other tags than were asked for",
    "it is being": "being removed",
    "its capacity": "capacity unknown until the first good discovery",
    "no connected": "no connected rack reaches them",
    "architecture": "another architecture",
    "CPU speed": "slower CPUs",
    "cores": "not enough cores left",
    "memory": "not enough memory left",
}
_LATE_REASONS = ("pinned cores", "huge pages", "storage", "interfaces", "virtual functions")
_LATE = "something that placement alone can tell, or nothing"
_LAST = {
    "no better by the room that would be left",
    "not enough cores that no guest is pinned to",
    "not enough huge pages free",
    "no storage pool with room for the largest disk",
    "no interface on the networks that were asked for",
}


async def write(db: Db, hosts: list[HostOffer]) -> None:
    """In place of what was there."""
    await db.execute("truncate vm_host, server, storage_pool cascade")
    for host in hosts:
        server_id = None
        if host.cores is not None:
            server_id = host.id
            claimed = host.cores_claimed, host.memory_mib_claimed
            await db.execute(
                _SERVER,
                host.id,
                host.architecture,
                host.cores,
                host.memory_mib,
                *claimed,
                host.cpu_speed_mhz,
                host.name,
                [to_plain(_node(node)) for node in host.nodes],
                sorted({core for node in host.nodes for core in {*node.core_ids} - {*node.free_core_ids}}),
                host.huge_memory_mib,
            )
            for node in host.nodes:
                for pages in node.pages:
                    key = f"{node.node_id}/{pages.size_kib}"
                    await db.execute(_COUNTED, host.id, "huge_pages", key, pages.total, pages.total - pages.free)
        for pool in host.storage_pools:
            used_bytes = pool.total_bytes - pool.room_bytes
            await db.execute(_STORAGE_POOL, pool.id, host.id, pool.pool_key, pool.name, pool.total_bytes, used_bytes)
        await db.execute(
            _HOST, host.id, host.name, server_id, host.state, host.zone, host.pool, host.tags,
            host.cpu_over_commit_ratio, host.memory_over_commit_ratio, host.default_storage_pool_id, host.driver,
            host.default_macvlan_mode, host.reserved_cores, host.reserved_memory_mib,
        )  # fmt: skip
        for one in host.interfaces:
            await _write_interface(db, host, one)
        if not host.reachable:
            await db.execute("insert into rack_reach (rack_id, host_id, reaches) values ($1, $2, false)", RACK, host.id)


async def _write_interface(db: Db, host: HostOffer, one: InterfaceOffer) -> None:
    if one.function_port is not None:
        taken = one.functions_total - one.functions_free
        await db.execute(_COUNTED, host.id, "virtual_functions", one.function_port, one.functions_total, taken)
    await db.execute(
        _INTERFACE, one.id, host.id, one.name, one.kind.value, one.type, one.attachable, one.active, one.dhcp,
        one.link_speed_mbps, one.tags, one.vlan_id, one.function_port if one.type == "vlan" else None,
    )  # fmt: skip
    for subnet in one.subnets if one.id % 2 else ():  # without an address there it is in its VLAN's all the same
        await db.execute("insert into host_interface_address values ($1, $2)", one.id, subnet.id)


def _node(node: NodeOffer) -> NumaNode:
    pages = tuple(HugePages(size_kib=pages.size_kib, total=pages.total) for pages in node.pages)
    return NumaNode(
        node_id=node.node_id, core_ids=node.core_ids, memory_mib=0, huge_pages=pages, siblings=node.siblings
    )  # fmt: skip


async def grounded(db: Db) -> None:
    await db.execute("insert into rack values ($1, 'rack', '', now())", RACK)
    for zone, pool in zip(ZONES[1:], POOLS[1:], strict=True):
        await db.execute("insert into zone (name) values ($1)", zone)
        await db.execute("insert into resource_pool (name) values ($1)", pool)
    for id_, name in SPACES.items():
        await db.execute("insert into space (id, name) values ($1, $2)", id_, name)
    for vlan in VLANS:
        await db.execute(
            "insert into vlan (id, fabric_id, vid, name, space_id) values ($1, 0, $2, $3, $4) on conflict do nothing",
            vlan.id, vlan.vid, vlan.name, vlan.space_id,
        )  # fmt: skip
        if vlan.subnet is not None:
            await db.execute(
                "insert into subnet (id, name, cidr, vlan_id) values ($1, $2, $3, $4)",
                vlan.subnet.id, vlan.subnet.name, ip_network(vlan.subnet.cidr), vlan.id,
            )  # fmt: skip


def kind(verdict: Verdict) -> str:
    """What the database would say of it, as far as it knows."""
    if verdict.fits or verdict.reasons[0].startswith(_LATE_REASONS):
        return _LATE
    return next(said for start, said in _KIND_OF_REASON.items() if verdict.reasons[0].startswith(start))


def kinds(left_out: dict[str, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for said, hosts in left_out.items():
        found[_LATE if said in _LAST else said] += hosts
    return found


@pytest.mark.parametrize(("strategy", "seed"), [("spread", 1), ("pack", 2)])
async def test_what_the_database_narrows_is_what_placement_decides_over_the_whole_fleet(
    database: Database, strategy: Strategy, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  # fleets are no secrets, and the same each time
    async with database.connection() as db:
        await grounded(db)
        for _ in range(5):
            hosts = fleet(random, hosts=HOSTS)
            await write(db, hosts)
            for _ in range(12):
                wanted = wish(random, hosts=HOSTS)
                whole = place(wanted, hosts, strategy=strategy)
                by_id = {verdict.host_id: verdict for verdict in (*whole.order, *whole.refused)}
                every = await choose(db, wanted, (RACK,), strategy=strategy, named=HOSTS)
                assert every == whole
                for named, narrowed_to in ((0, 2), (15, 4), (30, 20)):
                    few = await choose(db, wanted, (RACK,), strategy=strategy, named=named, narrowed_to=narrowed_to)
                    seen = (*few.order, *few.refused)
                    assert few.chosen == whole.chosen
                    assert all(verdict == by_id.pop(verdict.host_id) for verdict in seen)
                    assert Counter(kind(verdict) for verdict in by_id.values()) == kinds(dict(few.left_out))
                    by_id |= {verdict.host_id: verdict for verdict in seen}


async def three_hosts(made: Installation) -> list[Any]:
    """Of 4, 8 and 16 cores: `one` in zone east, `two` in the resource pool lab, `three` with the tag ssd."""
    await made.start_rack()
    await made.post("zones/", name="east")
    await made.post("resourcepools/", name="lab")
    one = await made.add_simulated("one", cores=4)
    two = await made.add_simulated("two", cores=8)
    three = await made.add_simulated("three", cores=16)
    await made.put(f"vm-hosts/{one['id']}/", zone="east")
    await made.put(f"vm-hosts/{two['id']}/", pool="lab")
    await made.put(f"vm-hosts/{three['id']}/", tags="ssd")
    return [one, two, three]


async def test_a_dry_run_says_where_a_machine_would_go_and_what_the_others_lack(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as made:
        one, two, three = await three_hosts(made)
        before = await written(made)
        told = await made.post("vm-hosts/", op="place", cores=5, storage="root:8,data:5(default)", not_in_pool="lab")
        assert (told["chosen"], told["chosen_id"]) == ("three", three["id"])
        assert [(disk["label"], disk["size"], disk["storage_pool"]) for disk in told["disks"]] == [
            ("root", 8 * 10**9, "default"),
            ("data", 5 * 10**9, "default"),
        ]
        assert [fitting["host_id"] for fitting in told["fitting"]] == [three["id"]]
        assert told["refused"] == [
            {"host": "one", "host_id": one["id"], "reasons": ["cores: 5 asked, 4 of 4 × 1.0 = 4 left"]},
            {"host": "two", "host_id": two["id"], "reasons": ["resource pool: not lab asked, the host is in lab"]},
        ]
        for fields, chosen in (
            ({"zone": "east"}, "one"),
            ({"pool": "lab"}, "two"),
            ({"tags": "ssd"}, "three"),
            ({"not_tags": "ssd", "not_in_zone": "east"}, "two"),
            ({"host": two["id"]}, "two"),
            ({"host": "one", "architecture": "amd64/generic"}, "one"),
            ({"host": "one", "architecture": "arm64"}, None),
            ({"host": "one", "zone": "default"}, None),
            ({"strategy": "pack"}, "one"),
            ({"cores": 17}, None),
        ):
            assert (await made.post("pods/", op="place", **fields))["chosen"] == chosen, fields
        assert await written(made) == before


async def test_a_dry_run_tells_what_a_compose_among_all_hosts_then_keeps(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await three_hosts(made)
        told = await made.post("vm-hosts/", op="place", cores=2, storage="8(default)")
        machines, operations = made.region.parts.services.machines, made.region.parts.services.operations
        request = ComposeRequest(cores=2, storage="8(default)")
        operation = await machines.start_compose(made.admin, request)
        assert told == (await made.get(f"operations/{operation.id}/"))["explanation"]
        assert (operation.host_name, told["chosen"]) == ("three", "three")
        await operations.wait(operation.id, timeout_s=30)


async def test_hosts_that_no_rack_reaches_are_refused_and_none_is_asked(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        await made.add_simulated("one")
        with made.held(name="one"):
            assert (await made.post("vm-hosts/", op="place"))["chosen"] == "one"
        await made.stop_rack("rack")
        told = await made.post("vm-hosts/", op="place")
        assert (told["chosen"], told["disks"]) == (None, [])
        assert told["refused"][0]["reasons"] == ["no connected rack reaches it"]


async def test_what_a_filter_names_exists_or_is_refused_by_field(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        fields: dict[str, Any] = {name: "nowhere" for name in ("host", "zone", "not_in_zone", "pool", "not_in_pool")}
        with pytest.raises(InvalidRequest) as refused:
            await made.post("vm-hosts/", op="place", tags="nowhere", **fields)
        assert refused.value.fields == {
            name: ["Select a valid choice. nowhere is not one of the available choices."] for name in fields
        }
        known: list[dict[str, Any]] = [{"zone": "1"}, {"pool": "0"}, {"not_in_zone": "default"}, {"tags": "nowhere"}]
        for named in known:
            assert (await made.post("vm-hosts/", op="place", **named))["refused"] == []

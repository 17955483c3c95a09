"""The dry run: the shortlist query agrees with placement over the whole fleet, and the API returns its explanation."""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import ip_network
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from attrs import evolve

from common.guests.compose_request import ComposeRequest
from common.serialization import to_dict
from common.values import HugePages, NumaNode
from regiond.db.pool import Database
from regiond.machines.arrivals.compose.host_search import search_hosts
from regiond.placement.candidate import Candidate, CandidateInterface, CandidateNode
from regiond.placement.model import Evaluation
from regiond.placement.ranking import place
from regiond.placement.requirements import Strategy
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import counts
from tests.placement.fleet_networks import SPACES, VLANS
from tests.placement.fleets import POOLS, ZONES, fleet, requirements
from tests.support.rejections import invalid_fields
from tests.unit.support.candidates import HOST, SMALL

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
    insert into storage_pool (id, server_id, pool_key, name, type, path, total_bytes, used_elsewhere_bytes, status)
    values ($1, $2, $3, $4, 'dir', '', $5, $6, $7)
"""
_HOST = """
    insert into vm_host (id, name, address, server_id, state, zone_id, pool_id, tags, cpu_over_commit_ratio,
                         memory_over_commit_ratio, default_storage_pool_id, system_id, driver, default_macvlan_mode,
                         reserved_cores, reserved_memory_mib)
    select $1, $2, $2, $3, $4, z.id, p.id, $7, $8, $9, $10, $2::text, $11, $12, $13, $14
      from zone z, resource_pool p where z.name = $5 and p.name = $6
"""
_MAINTENANCE = """
    update vm_host set maintenance_since = '2026-01-02 03:04+00', maintenance_by = 'ann', maintenance_reason = 'disks'
     where id = $1
"""
_DISCRETE = """
    insert into discrete_resource (server_id, resource, key, total, claimed) values ($1, $2, $3, $4, $5)
    on conflict do nothing
"""
_INTERFACE = """
    insert into host_interface (id, host_id, name, kind, type, attachable, active, dhcp, link_speed_mbps, tags, vlan_id,
                                parent)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_KIND_OF_REASON = {
    r"^excluded by your host filter": "excluded by your host filter",
    r"^type ": "of another type",
    r"^is in zone ": "in another zone",
    r"^is in resource pool ": "in another resource pool",
    r"^lacks the tag|^has the excluded tag": "with other tags",
    r"^is being removed": "being removed",
    r"^is in maintenance": "in maintenance",
    r"^capacity unknown": "capacity unknown until the first successful discovery run",
    r"^no connected": "no connected rack reaches them",
    r"^architecture ": "another architecture",
    r"^CPU speed ": "CPUs too slow",
    r"^needs \d+ cores?, ": "not enough free cores",
    r"^needs \d+ MiB of memory, ": "not enough free memory",
}
_BY_PLACEMENT = "a reason that only placement can give, or none"
_PLACEMENT_REASONS = {
    "fit, but would have less capacity left",
    "not enough unpinned cores",
    "not enough free huge pages",
    "no storage pool with enough free space for the largest disk",
    "no interface on the requested networks",
}


async def write(db: Db, hosts: list[Candidate]) -> None:
    """Replaces all hosts."""
    await db.execute("truncate vm_host, server, storage_pool cascade")
    for host in hosts:
        server_id = None
        if host.cores is not None:
            server_id = host.id
            nodes = [to_dict(_node(node)) for node in host.nodes]
            pinned = sorted({core for node in host.nodes for core in {*node.core_ids} - {*node.free_core_ids}})
            await db.execute(
                _SERVER, host.id, host.architecture, host.cores, host.memory_mib, host.cores_claimed,
                host.memory_mib_claimed, host.cpu_speed_mhz, host.name, nodes, pinned, host.huge_memory_mib,
            )  # fmt: skip
            for node in host.nodes:
                for pages in node.pages:
                    key = f"{node.node_id}/{pages.size_kib}"
                    await db.execute(_DISCRETE, host.id, "huge_pages", key, pages.total, pages.total - pages.free)
        for pool in host.storage_pools:
            used_bytes = pool.total_bytes - pool.free_bytes
            await db.execute(
                _STORAGE_POOL, pool.id, host.id, pool.pool_key, pool.name, pool.total_bytes, used_bytes, pool.status
            )  # fmt: skip
        await db.execute(
            _HOST, host.id, host.name, server_id, host.state, host.zone, host.pool, host.tags,
            host.cpu_over_commit_ratio, host.memory_over_commit_ratio, host.default_storage_pool_id, host.driver,
            host.default_macvlan_mode, host.reserved_cores, host.reserved_memory_mib,
        )  # fmt: skip
        if host.maintenance is not None:
            await db.execute(_MAINTENANCE, host.id)
        for one in host.interfaces:
            await _write_interface(db, host, one)
        if not host.reachable:
            await db.execute("insert into rack_reach (rack_id, host_id, reaches) values ($1, $2, false)", RACK, host.id)


async def _write_interface(db: Db, host: Candidate, one: CandidateInterface) -> None:
    if one.function_port is not None:
        taken = one.functions_total - one.functions_free
        await db.execute(_DISCRETE, host.id, "virtual_functions", one.function_port, one.functions_total, taken)
    await db.execute(
        _INTERFACE, one.id, host.id, one.name, one.kind.value, one.type, one.attachable, one.active, one.dhcp,
        one.link_speed_mbps, one.tags, one.vlan_id, one.function_port if one.type == "vlan" else None,
    )  # fmt: skip
    for subnet in one.subnets if one.id % 2 else ():  # the others have only the subnets of their VLAN
        await db.execute("insert into host_interface_address values ($1, $2)", one.id, subnet.id)


def _node(node: CandidateNode) -> NumaNode:
    pages = tuple(HugePages(size_kib=pages.size_kib, total=pages.total) for pages in node.pages)
    return NumaNode(
        node_id=node.node_id, core_ids=node.core_ids, memory_mib=0, huge_pages=pages, siblings=node.siblings
    )  # fmt: skip


async def write_groups_and_networks(db: Db) -> None:
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


def kind(evaluation: Evaluation) -> str:
    """The reason by which the shortlist query counts the host."""
    if evaluation.fits:
        return _BY_PLACEMENT
    found = (kind for pattern, kind in _KIND_OF_REASON.items() if re.search(pattern, evaluation.reasons[0]))
    return next(found, _BY_PLACEMENT)


def kinds(summarized: dict[str, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for reason, hosts in summarized.items():
        found[_BY_PLACEMENT if reason in _PLACEMENT_REASONS else reason] += hosts
    return found


def explained(host: Candidate) -> Candidate:
    """The fleet has no machines: a rejection says that everything is claimed elsewhere on the server."""
    return evolve(host, cores_claimed_here=0, memory_mib_claimed_here=0)


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "seed"), [("spread", 1), ("pack", 2)])
async def test_the_shortlist_agrees_with_placement_over_the_whole_fleet(
    database: Database, strategy: Strategy, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  # reproducible fleets
    async with database.connection() as db:
        await write_groups_and_networks(db)
        for _ in range(5):
            hosts = fleet(random, hosts=HOSTS)
            await write(db, hosts)
            for _ in range(12):
                wanted = requirements(random, hosts=HOSTS)
                complete = place(wanted, [explained(host) for host in hosts], strategy=strategy)
                by_id = {evaluation.host_id: evaluation for evaluation in (*complete.ranked, *complete.rejected)}
                every = await search_hosts(db, wanted, (RACK,), strategy=strategy, named=HOSTS)
                assert every.placements == (complete,)
                for named, size in ((0, 2), (15, 4), (30, 20)):
                    found = await search_hosts(db, wanted, (RACK,), strategy=strategy, named=named, shortlist_size=size)
                    (few,) = found.placements
                    seen = (*few.ranked, *few.rejected)
                    assert few.chosen == complete.chosen
                    assert all(evaluation == by_id.pop(evaluation.host_id) for evaluation in seen)
                    assert Counter(kind(evaluation) for evaluation in by_id.values()) == kinds(dict(few.summarized))
                    by_id |= {evaluation.host_id: evaluation for evaluation in seen}


def numbered(number: int, *, status: str, cores_claimed: int) -> Candidate:
    """A host that is alike but for these values."""
    return evolve(
        HOST,
        id=number,
        name=f"h{number}",
        server_id=number,
        cores_claimed=cores_claimed,
        storage_pools=tuple(evolve(one, id=number, status=status) for one in HOST.storage_pools),
        interfaces=tuple(evolve(one, id=number) for one in HOST.interfaces),
    )


async def test_the_best_of_many_hosts_has_an_available_pool(database: Database) -> None:
    """Others with more left are not evaluated for storage that they cannot use."""
    lost = [numbered(number, status="inactive", cores_claimed=0) for number in range(1, 6)]
    async with database.connection() as db:
        await write_groups_and_networks(db)
        await write(db, [*lost, numbered(6, status="available", cores_claimed=1)])
        found = await search_hosts(db, SMALL, (RACK,), strategy="spread", named=0, shortlist_size=2)
    (placement,) = found.placements
    assert placement.chosen is not None
    assert placement.chosen.host_name == "h6"
    assert placement.summarized == {"no storage pool with enough free space for the largest disk": 4}


async def add_three_hosts(innkeeper: Deployment) -> list[Any]:
    """Hosts of 4, 8 and 16 cores: `one` in zone east, `two` in the resource pool lab, `three` with the tag ssd."""
    await innkeeper.post("zones/", name="east")
    await innkeeper.post("resourcepools/", name="lab")
    one = await innkeeper.add_simulated("one", cores=4)
    two = await innkeeper.add_simulated("two", cores=8)
    three = await innkeeper.add_simulated("three", cores=16)
    await innkeeper.put(f"vm-hosts/{one['id']}/", zone="east")
    await innkeeper.put(f"vm-hosts/{two['id']}/", pool="lab")
    await innkeeper.put(f"vm-hosts/{three['id']}/", tags="ssd")
    return [one, two, three]


def without_capacities(placement: dict[str, Any]) -> dict[str, Any]:
    """As an operation stores it: a dry run adds the present capacity of each host, the machines and the quotas."""
    hosts = {
        part: [{key: value for key, value in host.items() if key != "capacity"} for host in placement[part]]
        for part in ("fitting", "rejected")
    }
    of_dry_run = {"placements", "refused"}
    return {key: value for key, value in {**placement, **hosts}.items() if key not in of_dry_run}


@pytest.mark.slow
async def test_a_dry_run_returns_the_choice_and_all_rejections(innkeeper: Deployment) -> None:
    one, two, three = await add_three_hosts(innkeeper)
    before = await counts(innkeeper)
    found = await innkeeper.post("vm-hosts/", op="place", cores=5, storage="root:8,data:5(default)", not_in_pool="lab")
    assert (found["chosen"], found["chosen_id"]) == ("three", three["id"])
    assert [(disk["label"], disk["size"], disk["storage_pool"]) for disk in found["disks"]] == [
        ("root", 8 * 10**9, "default"),
        ("data", 5 * 10**9, "default"),
    ]
    assert [fitting["host_id"] for fitting in found["fitting"]] == [three["id"]]
    assert [host["capacity"]["cores"]["free"] for host in found["rejected"]] == [4, 8]
    assert without_capacities(found)["rejected"] == [
        {
            "host": "one",
            "host_id": one["id"],
            "reasons": [
                "needs 5 cores, 4 free (4 cores × ratio 1.0 = 4 claimable, 0 claimed, 0 elsewhere on the server)"
            ],
            "checks": ["cores"],
        },
        {
            "host": "two",
            "host_id": two["id"],
            "reasons": ["is in resource pool lab, which is excluded"],
            "checks": ["pool"],
        },
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
        assert (await innkeeper.post("pods/", op="place", **fields))["chosen"] == chosen, fields
    assert await counts(innkeeper) == before


@pytest.mark.slow
async def test_a_dry_run_equals_the_explanation_of_a_compose(innkeeper: Deployment) -> None:
    await add_three_hosts(innkeeper)
    found = await innkeeper.post("vm-hosts/", op="place", cores=2, storage="8(default)")
    services = innkeeper.region.components.services
    request = ComposeRequest(cores=2, storage="8(default)")
    operation = await services.composer.start_compose(innkeeper.admin, request)
    assert without_capacities(found) == (await innkeeper.get(f"operations/{operation.id}/"))["explanation"]
    assert (operation.host_name, found["chosen"]) == ("three", "three")
    await services.operations.wait(operation.id, timeout_s=240)


async def test_unreachable_hosts_are_rejected_and_no_host_is_called(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated("one")
    with innkeeper.held(name="one"):
        assert (await innkeeper.post("vm-hosts/", op="place"))["chosen"] == "one"
    await innkeeper.stop_rack("rack")
    found = await innkeeper.post("vm-hosts/", op="place")
    assert (found["chosen"], found["disks"]) == (None, [])
    assert found["rejected"][0]["reasons"] == ["no connected rack reaches it"]


async def test_unknown_names_in_filters_are_rejected_by_field(innkeeper: Deployment) -> None:
    fields: dict[str, Any] = {name: "nowhere" for name in ("host", "zone", "not_in_zone", "pool", "not_in_pool")}
    problems = await invalid_fields(innkeeper.post("vm-hosts/", op="place", tags="nowhere", **fields))
    assert problems == {
        "host": ["There is no VM host 'nowhere'."],
        "zone": ["No such zone: 'nowhere'. There is default."],
        "not_in_zone": ["No such zone: 'nowhere'. There is default."],
        "pool": ["No such pool: 'nowhere'. There is default."],
        "not_in_pool": ["No such pool: 'nowhere'. There is default."],
    }
    known: list[dict[str, Any]] = [{"zone": "1"}, {"pool": "0"}, {"not_in_zone": "default"}, {"tags": "nowhere"}]
    for named in known:
        assert (await innkeeper.post("vm-hosts/", op="place", **named))["rejected"] == []


@pytest.mark.slow
async def test_a_dry_run_says_how_many_of_several_machines_fit(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated("large", cores=4)
    await innkeeper.add_simulated("small", cores=2)
    wanted: dict[str, Any] = {"op": "place", "cores": 2, "memory": 1024}
    found = await innkeeper.post("vm-hosts/", **wanted, count=5)
    assert Counter(one["host"] for one in found["placements"]) == {"large": 2, "small": 1}
    assert len((await innkeeper.post("vm-hosts/", **wanted))["placements"]) == 1
    assert (await innkeeper.post("vm-hosts/", op="place", cores=8))["placements"] == []
    assert set(await invalid_fields(innkeeper.post("vm-hosts/", **wanted, count=21))) == {"count"}
    await innkeeper.add_simulated("wired", cores=8, networks="lab:10.6.0.0/24")
    found = await innkeeper.post("vm-hosts/", **wanted, interfaces="eth0:ip=10.6.0.9", count=2)
    assert len(found["placements"]) == 1, "two machines cannot have the same address"


async def test_a_dry_run_checks_the_names_of_all_machines(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=16)
    await innkeeper.compose(host["id"], hostname="web-3", memory=1024)
    wanted: dict[str, Any] = {"op": "place", "memory": 1024}
    assert set(await invalid_fields(innkeeper.post("vm-hosts/", **wanted, hostname="WEB-3"))) == {"hostname"}
    assert set(await invalid_fields(innkeeper.post("vm-hosts/", **wanted, hostname="web", count=3))) == {"hostname"}
    assert set(
        await invalid_fields(innkeeper.post("vm-hosts/", **wanted, hostname="web-2", count=2, zone="nowhere"))
    ) == {"hostname", "zone"}
    assert (await innkeeper.post("vm-hosts/", **wanted, hostname="web", count=2))["chosen"] == "sim"


async def test_a_dry_run_says_that_a_quota_refuses(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=16)
    await innkeeper.post("quotas/", pool="default", cores=3)
    await innkeeper.compose(host["id"], cores=1, memory=1024)
    wanted: dict[str, Any] = {"op": "place", "cores": 1, "memory": 1024}
    assert (await innkeeper.post("vm-hosts/", **wanted, count=2))["refused"] is None
    refused = (await innkeeper.post("vm-hosts/", **wanted, count=3))["refused"]
    assert refused.startswith("quota of pool default: 3 cores, 3 used, 1 asked.")
    on_host = await innkeeper.post(f"vm-hosts/{host['id']}/", op="compose", cores=4, memory=1024, dry_run="true")
    assert "1 used, 4 asked" in on_host["refused"]


async def test_a_dry_run_leaves_no_entry_in_the_audit_trail(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    before = await innkeeper.get("audit/")
    await innkeeper.post("vm-hosts/", op="place", memory=1024)
    assert set(await invalid_fields(innkeeper.post("vm-hosts/", op="place", memory=1))) == {"memory"}
    assert await innkeeper.get("audit/") == before


async def test_a_rejection_names_the_check_beside_the_reason(innkeeper: Deployment) -> None:
    await add_three_hosts(innkeeper)
    found = await innkeeper.post("vm-hosts/", op="place", cores=12, zone="east")
    assert {one["host"]: one["checks"] for one in found["rejected"]} == {
        "one": ["cores"], "two": ["zone"], "three": ["zone"],
    }  # fmt: skip

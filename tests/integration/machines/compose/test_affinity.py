"""Affinity and anti-affinity groups through API, placement, reservation and rescheduling."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import pytest

from common.errors import OutOfCapacity
from common.guests.compose_request import ComposeRequest
from regiond.operations.model import Operation
from tests.deployment.deployment import Deployment
from tests.integration.machines.compose.test_rescheduling import change_host
from tests.integration.support.rigs.concurrent_composes import ComposerDatabase, composer_of, stages_on
from tests.integration.support.two_pools import FOREIGN, NATIVE, Role, two_pools
from tests.support.rejections import invalid_fields, outcomes, rejection

CALLERS = 24
HOST_OF = "select m.hostname, h.name, h.server_id from machine m join vm_host h on h.id = m.host_id order by m.id"


async def add_hosts(innkeeper: Deployment, *names: str, **more: Any) -> dict[str, int]:
    return {name: (await innkeeper.add_simulated(name, **more))["id"] for name in names}


async def allocate(innkeeper: Deployment, **fields: Any) -> Any:
    return await innkeeper.post("machines/", op="allocate", mem=1024, **fields)


async def groups_of(innkeeper: Deployment, machine: Any) -> list[tuple[str, str, bool, list[str]]]:
    read = await innkeeper.get(f"machines/{machine['system_id']}/")
    return [(one["name"], one["policy"], one["hard"], one["violated_by"]) for one in read["affinity_groups"]]


async def test_anti_affinity_uses_each_host_once_and_says_why(innkeeper: Deployment) -> None:
    await add_hosts(innkeeper, "a", "b")
    first, second = [await allocate(innkeeper, anti_affinity="web") for _ in range(2)]
    assert {first["pod"]["name"], second["pod"]["name"]} == {"a", "b"}
    assert await groups_of(innkeeper, first) == [("web", "anti_affinity", True, [])]
    error = await rejection(allocate(innkeeper, anti_affinity="web"))
    assert error.details["status"] == 409
    for machine in (first, second):
        assert f"{machine['pod']['name']}: runs {machine['hostname']} of anti-affinity group web" in error.message
    placed = await innkeeper.post("vm-hosts/", op="place", anti_affinity="web")
    assert (placed["chosen"], len(placed["rejected"])) == (None, 2)
    preferred = await innkeeper.post("vm-hosts/", op="place", anti_affinity="other,more:soft")
    assert len(preferred["fitting"]) == 2
    await innkeeper.delete(f"machines/{first['system_id']}/")
    assert (await allocate(innkeeper, anti_affinity="web"))["pod"]["name"] == first["pod"]["name"]


async def test_a_group_of_a_pool_without_role_is_another_group(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    native, olga = pools.contents[NATIVE], pools.as_role(Role.OPERATOR)
    lodger = await innkeeper.compose(native.host_id, cores=1, memory=1024, anti_affinity="web,db")
    await innkeeper.put(f"machines/{lodger['system_id']}/", pool=f"{FOREIGN}-pool")
    placed = await olga.post("vm-hosts/", op="place", anti_affinity="web")
    assert (placed["chosen"], placed["rejected"]) == (f"{NATIVE}-server", [])
    own = [await allocate(olga, anti_affinity="web"), await allocate(olga, affinity="db")]
    assert [one["pod"]["name"] for one in own] == [f"{NATIVE}-server"] * 2
    assert [await groups_of(olga, one) for one in own] == [
        [("web", "anti_affinity", True, [])], [("db", "affinity", True, [])]
    ]  # fmt: skip
    error = await rejection(allocate(olga, anti_affinity="web"))
    assert f"runs {own[0]['hostname']} of anti-affinity group web" in error.message
    assert (await rejection(allocate(innkeeper, anti_affinity="web", pod=f"{NATIVE}-server"))).details["status"] == 409


async def test_affinity_keeps_a_group_on_one_host(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, "a", "b")
    first = await innkeeper.compose(hosts["b"], memory=1024, affinity="db", hostname="db-1")
    error = await rejection(innkeeper.compose(hosts["a"], memory=1024, affinity="db"))
    assert "db-1 of affinity group db runs on b" in error.message
    assert [(await allocate(innkeeper, affinity="db", cpu_count=1))["pod"]["name"] for _ in range(2)] == ["b", "b"]
    full = await rejection(allocate(innkeeper, affinity="db", cpu_count=4))
    assert re.search(r"a: [a-z0-9, -]*\bdb-1\b[a-z0-9, -]* of affinity group db run on b", full.message)
    assert "b: needs 4 cores" in full.message
    assert await groups_of(innkeeper, first) == [("db", "affinity", True, [])]


async def test_a_soft_rule_ranks_before_free_capacity(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, "small")
    await innkeeper.add_simulated("large", cores=64, memory_mib=262144)
    await innkeeper.compose(hosts["small"], memory=1024, affinity="near:soft", hostname="near-1")
    near = await innkeeper.post("vm-hosts/", op="place", affinity="near:soft")
    assert [(one["host"], one["unmet"]) for one in near["fitting"]] == [
        ("small", []),
        ("large", ["near-1 of affinity group near runs on small"]),
    ]
    spread = [await allocate(innkeeper, anti_affinity="web:soft") for _ in range(3)]
    assert [one["pod"]["name"] for one in spread] == ["small", "large", "large"]  # the first was ready
    web = [group for one in spread for group in await groups_of(innkeeper, one) if group[0] == "web"]
    assert [(hard, len(violated_by)) for _, _, hard, violated_by in web] == [(False, 0), (False, 1), (False, 1)]


async def test_two_hosts_of_one_server_are_one_failure_domain(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, "a", "project", "b")
    async with innkeeper.region.components.database.connection() as db:
        await db.execute(
            "update vm_host set server_id = (select server_id from vm_host where name = 'a') where name = 'project'"
        )
    await innkeeper.compose(hosts["a"], memory=1024, anti_affinity="web", hostname="web-1")
    placed = await innkeeper.post("vm-hosts/", op="place", anti_affinity="web")
    assert placed["chosen"] == "b"
    assert {one["host"]: one["reasons"] for one in placed["rejected"]} == {
        "a": ["runs web-1 of anti-affinity group web"],
        "project": ["is on the same server as a, which runs web-1 of anti-affinity group web"],
    }


@pytest.mark.slow
async def test_ready_machines_are_matched_by_their_host(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, "a", "b")
    for name, host in (("cheap", "a"), ("other", "a"), ("large", "b")):
        await innkeeper.compose(hosts[host], cores=2 if name == "large" else 1, memory=1024, hostname=name)
    first = await allocate(innkeeper, anti_affinity="web")
    assert first["hostname"] == "cheap"
    dry = await allocate(innkeeper, anti_affinity="web", dry_run="true")
    second = await allocate(innkeeper, anti_affinity="web")
    assert dry["hostname"] == second["hostname"] == "large"
    assert (await rejection(allocate(innkeeper, anti_affinity="web"))).details["status"] == 409
    assert (await allocate(innkeeper, affinity="other:soft"))["hostname"] == "other"
    await innkeeper.post(f"machines/{first['system_id']}/", op="release")
    assert await groups_of(innkeeper, first) == []
    assert (await allocate(innkeeper, anti_affinity="web"))["hostname"] == "cheap"


async def test_an_update_changes_groups_and_shows_violations(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, "a")
    one, two = [await innkeeper.compose(hosts["a"], memory=1024, hostname=name) for name in ("one", "two")]
    for machine in (one, two):
        await innkeeper.put(f"machines/{machine['system_id']}/", anti_affinity="web,apart:soft", affinity="db")
    assert await groups_of(innkeeper, one) == [
        ("apart", "anti_affinity", False, ["two"]),
        ("db", "affinity", True, []),
        ("web", "anti_affinity", True, ["two"]),
    ]
    changed = await innkeeper.put(f"machines/{one['system_id']}/", anti_affinity="", description="x")
    assert [group["name"] for group in changed["affinity_groups"]] == ["db"]
    assert await groups_of(innkeeper, two) == [
        ("apart", "anti_affinity", False, []),
        ("db", "affinity", True, []),
        ("web", "anti_affinity", True, []),
    ]
    wrong = await invalid_fields(innkeeper.put(f"machines/{one['system_id']}/", affinity="web"))
    assert wrong == {
        "affinity": ["web is an anti-affinity group (two on a); use anti_affinity=web or another group name."]
    }


async def test_wrong_groups_are_rejected_by_field(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, "a")
    await innkeeper.compose(hosts["a"], memory=1024, affinity="db", hostname="db-1")
    for attempt in (
        innkeeper.compose(hosts["a"], memory=1024, anti_affinity="db"),
        allocate(innkeeper, anti_affinity="db"),
        allocate(innkeeper, anti_affinity="not a group"),
        innkeeper.post("vm-hosts/", op="place", anti_affinity="db"),
        innkeeper.post("vm-hosts/", op="place", affinity="x", anti_affinity="x:soft"),
    ):
        assert list(await invalid_fields(attempt)) == ["anti_affinity"]


async def test_a_rescheduled_compose_respects_its_groups(innkeeper: Deployment) -> None:
    for name, cores in (("large", 16), ("middle", 12), ("small", 8)):
        await innkeeper.add_simulated(name, cores=cores, memory_mib=4096 * cores)
    (middle,) = [host["id"] for host in await innkeeper.get("vm-hosts/") if host["name"] == "middle"]
    await innkeeper.compose(middle, memory=1024, anti_affinity="web", hostname="web-1")
    await change_host(innkeeper, "large", pools="other:100")
    assert (await allocate(innkeeper, anti_affinity="web", cpu_count=2))["pod"]["name"] == "small"
    explanations = [one["explanation"] or {} for one in await innkeeper.get("operations/")]
    tried = [one for explanation in explanations for one in explanation.get("tried", ())]
    assert [one["host"] for one in tried] == ["large"]


async def test_a_removed_and_added_host_restores_the_groups(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("a")
    machine = await innkeeper.compose(host["id"], memory=1024, anti_affinity="web:soft")
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    await innkeeper.add_simulated("a")
    assert await groups_of(innkeeper, machine) == [("web", "anti_affinity", False, [])]


@pytest.mark.parametrize("regions", [1, 3])
async def test_concurrent_callers_never_share_a_host(innkeeper: Deployment, regions: int) -> None:
    await add_hosts(innkeeper, "a", "b", "c", "d", "e", cores=64, memory_mib=262144)
    await innkeeper.region.components.engine.stop()
    composed, rejected = await compose_concurrently(innkeeper, regions, {"anti_affinity": ("web",)})
    assert (len(composed), len(rejected)) == (5, CALLERS - 5)
    assert all("of anti-affinity group web" in error.message for error in rejected)
    assert {row["name"] for row in await innkeeper.fetch(HOST_OF)} == {"a", "b", "c", "d", "e"}
    assert await innkeeper.ledger_problems() == []


@pytest.mark.parametrize("regions", [1, 3])
async def test_concurrent_callers_of_an_affinity_share_a_host(innkeeper: Deployment, regions: int) -> None:
    await add_hosts(innkeeper, "a", "b", "c", "d", "e", cores=10, memory_mib=262144)
    await innkeeper.region.components.engine.stop()
    composed, rejected = await compose_concurrently(innkeeper, regions, {"affinity": ("db",)})
    assert (len(composed), len(rejected)) == (10, CALLERS - 10)
    assert len({row["name"] for row in await innkeeper.fetch(HOST_OF)}) == 1
    assert await innkeeper.ledger_problems() == []


async def test_concurrent_groups_of_several_regions_never_conflict(innkeeper: Deployment) -> None:
    """Machines of two anti-affinity groups and of one affinity group, each in two of the three."""
    names = ("a", "b", "c", "d", "e", "f")
    await add_hosts(innkeeper, *names, cores=64, memory_mib=262144)
    await innkeeper.region.components.engine.stop()
    groups: list[dict[str, Any]] = [
        {"anti_affinity": ("web", "front")},
        {"anti_affinity": ("front",), "affinity": ("db:soft",)},
        {"anti_affinity": ("web",), "affinity": ("db",)},
    ]
    await compose_concurrently(innkeeper, 3, *groups)
    members = await innkeeper.fetch(
        "select a.group_name, a.hard, h.name from affinity_membership a join machine m on m.id = a.machine_id"
        " join vm_host h on h.id = m.host_id"
    )
    counted = Counter((row["group_name"], row["name"]) for row in members)
    assert {times for (group, _), times in counted.items() if group != "db"} == {1}
    of_db = [row for row in members if row["group_name"] == "db"]
    if any(row["hard"] for row in of_db):  # soft members alone may use several hosts, because `front` separates them
        assert len({row["name"] for row in of_db}) == 1
    assert await innkeeper.ledger_problems() == []


async def test_concurrent_allocations_of_ready_machines_use_each_host_once(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, "a", "b", cores=8, memory_mib=32768)
    for host in hosts.values():
        for _ in range(3):
            await innkeeper.compose(host, memory=1024)
    found = await outcomes(allocate(innkeeper, anti_affinity="web") for _ in range(6))
    assert Counter(text.partition(":")[0] for text in found) == {"done": 2, "409": 4}
    allocated = [one for one in await innkeeper.get("machines/") if one["status_name"] == "Allocated"]
    assert {one["pod"]["name"] for one in allocated} == {"a", "b"}


async def compose_concurrently(
    innkeeper: Deployment, regions: int, *groups: dict[str, Any]
) -> tuple[list[Operation], list[OutOfCapacity]]:
    """Composes with the `groups` in turn; each region has its own stages, as a process of its own would."""
    database = ComposerDatabase(innkeeper.region.components.database)
    composers = [composer_of(innkeeper, await stages_on(innkeeper, database)) for _ in range(regions)]
    results = await asyncio.gather(
        *(
            composers[number % regions].start_compose(
                innkeeper.admin,
                ComposeRequest(cores=1, memory_mib=1024 + 64 * (number % 2), **groups[number % len(groups)]),
            )
            for number in range(CALLERS)
        ),
        return_exceptions=True,
    )
    composed = [one for one in results if isinstance(one, Operation)]
    rejected = [one for one in results if isinstance(one, OutOfCapacity)]
    assert len(composed) + len(rejected) == CALLERS, results
    return composed, rejected

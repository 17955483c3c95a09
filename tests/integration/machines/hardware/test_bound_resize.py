"""Resizes of machines with pinned cores and huge pages: only while they are off, and on their NUMA nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.hardware.test_resize import claimed, messages, path, refuse, resize, shown
from tests.integration.support.adoption import guests, refresh, rows
from tests.support.rejections import invalid_fields, rejection
from tests.support.waiting import eventually

TWO_NODES: dict[str, Any] = {
    "cores": 16, "memory_mib": 32768, "numa_nodes": 2, "threads_per_core": 2, "hugepages_mib": 16384,
    "hugepage_size_mib": 1024,
}  # fmt: skip


async def composed(innkeeper: Deployment, **fields: Any) -> Any:
    if "sim" not in innkeeper.hosts:
        await innkeeper.add_simulated(**TWO_NODES)
    return await innkeeper.compose(innkeeper.hosts["sim"], **{"hostname": "web", "memory": 2048, **fields})


async def bound(innkeeper: Deployment) -> tuple[list[int], dict[str, int], int]:
    """What the ledger has: pinned cores, huge pages, MiB of general memory."""
    async with innkeeper.connection() as db:
        found = await db.fetch(
            "select resource, key, amount from claim c join machine m on m.id = c.machine_id where m.hostname = 'web'"
        )
    return (
        sorted(int(one["key"]) for one in found if one["resource"] == "pinned_core"),
        {one["key"]: one["amount"] for one in found if one["resource"] == "huge_pages"},
        sum(one["amount"] for one in found if one["resource"] == "memory_mib"),
    )


async def on_host(innkeeper: Deployment) -> tuple[list[int], bool]:
    """What the guest has by the last refresh, which agrees with the ledger."""
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await innkeeper.discrepancies() == []
    (guest,) = [one for one in await innkeeper.get("virtual-machines/") if one["identifier"] == "web"]
    pinned, pages, _ = await bound(innkeeper)
    assert (guest["pinned_cores"], guest["hugepages_backed"]) == (pinned, bool(pages))
    return guest["pinned_cores"], guest["hugepages_backed"]


@pytest.mark.slow
async def test_pinned_cores_grow_and_shrink_on_their_node(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, pinned_cores=[9, 10])
    await resize(innkeeper, machine, cores=5)
    assert await bound(innkeeper) == ([8, 9, 10, 11, 12], {}, 2048)  # the rest of its physical cores first
    assert (await on_host(innkeeper), await claimed(innkeeper)) == (([8, 9, 10, 11, 12], False), (5, 2048))
    await resize(innkeeper, machine, cores=2, memory=4096)
    assert (await on_host(innkeeper))[0] == [8, 9]
    assert (await shown(innkeeper, machine), await claimed(innkeeper)) == ((2, 4096, None), (2, 4096))
    numa = await innkeeper.get(f"vm-hosts/{innkeeper.hosts['sim']}/", op="numa")
    assert [node["cores"]["used_by_ours"] for node in numa] == [[], [8, 9]]
    assert (await messages(innkeeper, "machine_resized"))[
        0
    ] == "web on sim has 2 cores and 4096 MiB of memory, pinned to 8-9"


@pytest.mark.slow
async def test_more_than_its_node_has_is_refused_with_what_would_help(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, pin_cores=2)
    await composed(innkeeper, hostname="other", pinned_cores=[2, 3, 4, 8])
    error = await rejection(resize(innkeeper, machine, cores=6))
    assert error.message == (
        "web needs 6 pinned cores and stays on NUMA node 0: 5 of 8 cores unpinned on node 0, its own included. "
        "Elsewhere are 7 of 8 cores unpinned on node 1. Ask for fewer, free some there, or name cores that are free "
        "with pinned_cores."
    )
    assert error.details["status"] == 503
    await resize(innkeeper, machine, pinned_cores=[9, 10, 11, 12, 13, 14])
    assert (await on_host(innkeeper))[0] == [9, 10, 11, 12, 13, 14]
    error = await rejection(resize(innkeeper, machine, pinned_cores=[8]))
    assert error.message == "web cannot be pinned: core 8 is already pinned by other."


@pytest.mark.slow
async def test_memory_in_huge_pages_changes_on_its_node(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, pinned_cores=[8, 9], hugepages_backed="true")
    await resize(innkeeper, machine, memory=6144)
    assert await bound(innkeeper) == ([8, 9], {"1/1048576": 6}, 0)
    await resize(innkeeper, machine, memory=3072, cores=1)
    assert await bound(innkeeper) == ([8], {"1/1048576": 3}, 0)
    assert await on_host(innkeeper) == ([8], True)
    error = await rejection(resize(innkeeper, machine, memory=9216))
    assert error.message == (
        "web needs 9 huge pages of 1 GiB on the NUMA nodes of the pinned cores, 8 of 8 free on node 1, its own "
        "included. "
        "Elsewhere are 8 of 8 cores unpinned on node 0; 8 huge pages of 1024 MiB on node 0. Ask for less, reserve "
        "more pages on the host, or take its memory out of them with hugepages_backed=false."
    )
    assert "not a multiple of 1 GiB" in (await rejection(resize(innkeeper, machine, memory=2560))).message


@pytest.mark.slow
async def test_a_machine_is_bound_and_unbound(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, cores=2)
    await resize(innkeeper, machine, pin_cores=3)
    assert (await on_host(innkeeper), await shown(innkeeper, machine)) == (([0, 1, 2], False), (3, 2048, None))
    await resize(innkeeper, machine, hugepages_backed="true")
    assert await bound(innkeeper) == ([0, 1, 2], {"0/1048576": 2}, 0)
    assert await on_host(innkeeper) == ([0, 1, 2], True)
    await resize(innkeeper, machine, pin_cores=0)
    assert await bound(innkeeper) == ([], {"0/1048576": 2}, 0)
    await resize(innkeeper, machine, hugepages_backed="false", memory=1024, cores=1)
    assert await bound(innkeeper) == ([], {}, 1024)
    assert (await on_host(innkeeper), await claimed(innkeeper)) == (([], False), (1, 1024))


@pytest.mark.slow
async def test_a_bound_machine_that_runs_is_told_to_power_off(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, pin_cores=2, power_on="true")
    before = await bound(innkeeper)
    for fields, has in (
        ({"cores": 3}, "has pinned cores"),
        ({"memory": 4096}, "has pinned cores"),
        ({"hugepages_backed": "true"}, "has pinned cores and is to get huge pages"),
    ):
        error = await rejection(resize(innkeeper, machine, **fields))
        assert error.message == (
            f"web is not off, and {has}: these, and the size of what is bound to them, change only while it is off. "
            f"Power it off, then resize it: innkeeper machine power-off {machine['system_id']}"
        )
        assert error.details["status"] == 409
    assert await bound(innkeeper) == before
    await resize(innkeeper, machine, cores=2)  # what it has
    await innkeeper.post(path(machine), op="power_off")
    await resize(innkeeper, machine, cores=3)
    assert (await bound(innkeeper))[0] == [0, 1, 2]


async def test_a_dry_run_names_the_cores_and_pages(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, pin_cores=2, hugepages_backed="true")
    plan = await resize(innkeeper, machine, cores=3, memory=4096, dry_run="true")
    assert plan["bound"] == {"pinned_cores": [0, 1], "huge_pages": [{"node": 0, "page_size": 1024**3, "pages": 2}]}
    assert plan["bound_then"] == {
        "pinned_cores": [0, 1, 2], "huge_pages": [{"node": 0, "page_size": 1024**3, "pages": 4}],
    }  # fmt: skip
    assert plan["effects"] == [
        "web gets 3 cores instead of 2, now.",
        "web gets 4096 MiB of memory instead of 2048, now.",
        "web is pinned to cores 0-2 of the host instead of pinned to cores 0-1 of the host, now.",
        "Its memory is in 4 huge pages of 1024 MiB on NUMA node 0 instead of 2 huge pages of 1024 MiB on NUMA "
        "node 0, now.",
        "It claims 1 core, 1 pinned core and 2 huge pages more of sim at once.",
    ]
    assert await bound(innkeeper) == ([0, 1], {"0/1048576": 2}, 0)


@pytest.mark.slow
async def test_a_request_that_contradicts_itself_is_refused_by_field(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, cores=2)
    for fields, names in (
        ({"pin_cores": 2, "pinned_cores": [1]}, {"pin_cores"}),
        ({"pin_cores": 2, "cores": 3}, {"cores"}),
        ({"pinned_cores": [1, 1]}, {"pinned_cores"}),
        ({"hugepage_size": 2, "hugepages_backed": "false"}, {"hugepage_size"}),
        ({"hugepage_size": 2}, {"hugepage_size"}),
    ):
        assert {*await invalid_fields(resize(innkeeper, machine, **fields))} == names


async def test_a_machine_prepared_for_more_is_not_pinned(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, cores=1, max_cores=4, max_memory=4096)
    assert "max_cores" in (await rejection(resize(innkeeper, machine, pin_cores=1))).message
    assert "max_memory" in (await rejection(resize(innkeeper, machine, hugepages_backed="true"))).message


async def test_a_cancelled_resize_gives_the_new_cores_back(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, pin_cores=2)
    with innkeeper.held("resize guest"):
        operation = await innkeeper.begin(path(machine), op="resize", cores="4", hugepages_backed="true")
        await eventually(innkeeper.simulated().is_holding)
        assert await bound(innkeeper) == ([0, 1, 2, 3], {"0/1048576": 2}, 2048)
        await innkeeper.cancel(operation)
    assert await innkeeper.ended(operation) == "cancelled"
    assert await bound(innkeeper) == ([0, 1], {}, 2048)
    assert (await on_host(innkeeper), await claimed(innkeeper)) == (([0, 1], False), (2, 2048))


@pytest.mark.slow
async def test_a_host_that_refuses_leaves_the_cores_as_before(innkeeper: Deployment, monkeypatch: Any) -> None:
    machine = await composed(innkeeper, pin_cores=2)
    with monkeypatch.context() as refusing:
        refusing.setattr("rackd.drivers.simulated.resizing.check_cores_and_nodes", refuse)
        assert "not this size" in (await rejection(resize(innkeeper, machine, cores=4))).message
    assert await bound(innkeeper) == ([0, 1], {}, 2048)
    assert (await on_host(innkeeper))[0] == [0, 1]


@pytest.mark.slow
async def test_many_machines_share_the_free_cores(innkeeper: Deployment) -> None:
    web = await composed(innkeeper, pinned_cores=[0, 1])
    two = await composed(innkeeper, hostname="two", pinned_cores=[4, 5])
    fields: dict[str, Any] = {"action": "resize", "machines": [web["system_id"], two["system_id"]], "cores": 5}
    plan = await innkeeper.post("machines/", op="bulk", dry_run="true", **fields)
    assert plan["effects"][-1] == "1 machine is resized."
    assert "two needs 5 pinned cores and stays on NUMA node 0: 3 of 8 cores unpinned on node 0" in plan["effects"][1]
    assert await innkeeper.ended(await innkeeper.begin("machines/", op="bulk", **fields)) == "failed"
    assert rows(innkeeper, "select count(*) from pinning where json_array_length(core_ids) = 5") == [(1,)]
    assert len(guests(innkeeper)) == 2
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await innkeeper.discrepancies() == []

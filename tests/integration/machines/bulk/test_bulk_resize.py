"""`machines/?op=bulk&action=resize`: the same size for many machines; one that has no room stops no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import InvalidRequest
from tests.deployment.deployment import Deployment
from tests.integration.machines.bulk.test_bulk import bulk, children, ids
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.support.users import as_user
from tests.postgresql.database import fetchval
from tests.support.rejections import rejection

_CLAIMED = "select cores_claimed from server"


async def composed(innkeeper: Deployment, number: int, *, cores: int = 8) -> list[Any]:
    """That many machines with 1 core and 1024 MiB, `vm-0` and so on, on a host with so many cores."""
    host = await innkeeper.add_simulated(cores=cores, memory_mib=16384)
    return [
        await innkeeper.compose(host["id"], cores=1, memory=1024, hostname=f"vm-{index}") for index in range(number)
    ]


async def act(innkeeper: Deployment, machine: Any, op: str) -> None:
    await innkeeper.post(f"machines/{machine['system_id']}/", op=op)


async def dry_run(innkeeper: Any, machines: list[Any], **fields: Any) -> list[str]:
    plan = await innkeeper.post(
        "machines/", op="bulk", action="resize", machines=ids(machines), dry_run="true", **fields
    )
    assert (plan["deleted"], plan["kept"]) == ([], [])
    effects: list[str] = plan["effects"]
    return effects


async def sizes(innkeeper: Deployment) -> dict[str, tuple[int, int, Any]]:
    """Cores, memory and what is pending, by hostname."""
    return {
        one["hostname"]: (one["cpu_count"], one["memory"], one["pending"] and one["pending"]["memory"])
        for one in await innkeeper.get("machines/")
    }


async def test_what_does_not_fit_or_is_locked_stops_no_other(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 5)
    await make_deployed(innkeeper, machines[1])
    await act(innkeeper, machines[1], "lock")
    await act(innkeeper, machines[2], "power_on")
    told = await dry_run(innkeeper, machines, cores=2, memory=2048)
    claims = "It claims 1 core and 1024 MiB of memory more of sim at once."
    assert (
        told[0] == f"vm-0 gets 2 cores instead of 1, now. vm-0 gets 2048 MiB of memory instead of 1024, now. {claims}"
    )
    assert told[1].startswith("vm-1 stays as it is: vm-1 is locked")
    assert told[2].startswith(
        "vm-2 gets 2 cores instead of 1, now if its hypervisor can change a running VM, else when"
    )
    assert told[3].startswith("vm-3 gets 2 cores")
    assert told[4:] == [
        "vm-4 stays as it is: sim has too little left for vm-4: cores: 1 more asked, 0 of 8 claimable left. The "
        "machines before it take the rest.",
        "3 machines are resized.",
    ]
    assert set((await sizes(innkeeper)).values()) == {(1, 1024, None)}
    operation_id = await bulk(innkeeper, "resize", ids(machines), cores=2, memory=2048, at_once=1)
    assert await innkeeper.ended(operation_id) == "failed"
    assert await children(innkeeper, operation_id) == {
        "vm-0": "succeeded", "vm-1": "failed", "vm-2": "succeeded", "vm-3": "succeeded", "vm-4": "failed"
    }  # fmt: skip
    error = (await innkeeper.get(f"operations/{operation_id}/"))["error"]["message"]
    assert error.startswith("2 of 5 machines were not resized. vm-1: vm-1 is locked")
    assert error.endswith("vm-4: sim has too little left for vm-4: cores: 1 more asked, 0 of 8 claimable left.")
    assert await sizes(innkeeper) == {
        "vm-0": (2, 2048, None), "vm-1": (1, 1024, None), "vm-2": (2, 1024, 2048), "vm-3": (2, 2048, None),
        "vm-4": (1, 1024, None),
    }  # fmt: skip
    assert await innkeeper.discrepancies() == []


@pytest.mark.slow
async def test_a_machine_that_has_the_size_is_unchanged(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 2)
    await innkeeper.post(f"machines/{machines[0]['system_id']}/", op="resize", cores=3)
    told = await dry_run(innkeeper, machines, cores=3)
    assert (told[0], told[-1]) == ("vm-0 has this size already.", "1 machine is resized.")
    assert await innkeeper.ended(await bulk(innkeeper, "resize", ids(machines), cores=3)) == "succeeded"
    assert set((await sizes(innkeeper)).values()) == {(3, 1024, None)}


@pytest.mark.slow
async def test_the_present_size_takes_back_what_is_pending(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 2)
    await act(innkeeper, machines[0], "power_on")
    await innkeeper.post(f"machines/{machines[0]['system_id']}/", op="resize", memory=4096)
    assert await dry_run(innkeeper, machines, memory=1024) == [
        "vm-0 keeps the size that it has: what is pending is cancelled.", "vm-1 has this size already.",
        "1 machine is resized.",
    ]  # fmt: skip
    assert await innkeeper.ended(await bulk(innkeeper, "resize", ids(machines), memory=1024)) == "succeeded"
    assert set((await sizes(innkeeper)).values()) == {(1, 1024, None)}


async def test_a_dry_run_counts_the_machines_against_their_quota(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 3)
    ann = await as_user(innkeeper, "ann")
    for machine in machines:
        await ann.post("machines/", op="allocate", system_id=machine["system_id"])
    await innkeeper.post("quotas/", user="ann", cores=4)
    told = await dry_run(ann, machines, cores=2)
    assert told[0].startswith("vm-0 gets 2 cores")
    assert all(one.startswith(f"vm-{number} stays as it is: ") for number, one in enumerate(told[1:3], 1))
    assert "quota of user ann: 4 cores, 4 used" in told[1]
    operation_id = await bulk(ann, "resize", ids(machines), cores=2, at_once=1)
    assert await innkeeper.ended(operation_id) == "failed"
    assert list((await children(innkeeper, operation_id)).values()).count("succeeded") == 1


async def test_hosts_do_not_share_their_capacity(innkeeper: Deployment) -> None:
    """Of each host one machine fits."""
    machines = [
        await innkeeper.compose((await innkeeper.add_simulated(name, cores=2))["id"], cores=1, hostname=name)
        for name in ("east", "west")
    ]
    assert (await dry_run(innkeeper, machines, cores=2))[-1] == "2 machines are resized."


async def test_two_at_once_never_exceed_the_host(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 6)
    halves = [bulk(innkeeper, "resize", ids(some), cores=2) for some in (machines[::2], machines[1::2])]
    ended = [await innkeeper.ended(one) for one in await asyncio.gather(*halves)]
    assert "failed" in ended
    assert sorted(cores for cores, _, _ in (await sizes(innkeeper)).values()) == [1, 1, 1, 1, 2, 2]
    assert await fetchval(innkeeper.region.components.database, _CLAIMED) == 8
    assert await innkeeper.discrepancies() == []


_NO_SIZES: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({}, "cores", "Name the cores, the memory or both."),
    ({"cores": "0"}, "cores", "1"),
    ({"memory": "1023"}, "memory", "1024"),
)


async def test_a_size_that_no_machine_can_have(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 1)
    for fields, field, message in _NO_SIZES:
        for asked in (bulk(innkeeper, "resize", ids(machines), **fields), dry_run(innkeeper, machines, **fields)):
            error = await rejection(asked)
            assert isinstance(error, InvalidRequest)
            assert (list(error.fields), message in str(error.fields)) == ([field], True)


async def test_a_size_is_for_no_other_action(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 1)
    error = await rejection(bulk(innkeeper, "power_on", ids(machines), memory="2048"))
    assert error.details["fields"] == {"memory": ["This is for the action resize."]}


async def test_an_operator_resizes_own_machines(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 3)
    ann, bob = await as_user(innkeeper, "ann"), await as_user(innkeeper, "bob")
    await ann.post("machines/", op="allocate", system_id=machines[0]["system_id"])
    await bob.post("machines/", op="allocate", system_id=machines[2]["system_id"])
    for refused in (bulk(ann, "resize", ids(machines), cores=2), dry_run(ann, machines, cores=2)):
        error = await rejection(refused)
        assert (error.details["status"], error.message.startswith("Not allowed on vm-1, vm-2. ")) == (403, True)
    assert await innkeeper.ended(await bulk(ann, "resize", ids(machines[:1]), cores=2)) == "succeeded"
    assert [cores for cores, _, _ in (await sizes(innkeeper)).values()].count(2) == 1
    await innkeeper.post("resourcepool/default/", op="revoke", user="ann")
    error = await rejection(bulk(ann, "resize", ids(machines[:1]), cores=3))
    assert error.details["status"] == 403


@pytest.mark.slow
async def test_what_machines_give_back_is_there_for_those_after_them(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    big = await innkeeper.compose(host["id"], cores=5, memory=1024, hostname="vm-0")
    small = [await innkeeper.compose(host["id"], cores=1, memory=1024, hostname=f"vm-{one}") for one in (1, 2, 3)]
    told = await dry_run(innkeeper, [big, *small], cores=2)
    gives = "It has room once machines before it have given back what they lose; at_once=1 waits for each of them."
    assert told[0].startswith("vm-0 gets 2 cores instead of 5, now. What it no longer uses is free for others")
    assert [one.endswith(gives) for one in told[1:4]] == [True, True, True]
    assert told[4] == "4 machines are resized."
    after = await dry_run(innkeeper, [*small, big], cores=2)
    assert "0 of 8 claimable left." in after[0]
    assert after[-1] == "1 machine is resized."
    operation_id = await bulk(innkeeper, "resize", ids([big, *small]), cores=2, at_once=1)
    assert await innkeeper.ended(operation_id) == "succeeded"
    assert {cores for cores, _, _ in (await sizes(innkeeper)).values()} == {2}


async def test_a_running_machine_may_keep_what_it_loses(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=4, memory_mib=8192)
    big = await innkeeper.compose(host["id"], cores=3, memory=1024, hostname="vm-0", power_on="true")
    small = await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="vm-1")
    told = await dry_run(innkeeper, [big, small], cores=2)
    assert told[1].startswith("vm-1 stays as it is: sim has too little left for vm-1")


async def test_quotas_count_what_machines_give_back(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=16, memory_mib=16384)
    machines = [
        await innkeeper.compose(host["id"], cores=cores, memory=1024, hostname=f"vm-{number}")
        for number, cores in enumerate((3, 1))
    ]
    ann = await as_user(innkeeper, "ann")
    for machine in machines:
        await ann.post("machines/", op="allocate", system_id=machine["system_id"])
    await innkeeper.post("quotas/", user="ann", cores=4)
    assert (await dry_run(ann, machines, cores=2))[-1] == "2 machines are resized."
    assert (await dry_run(ann, machines[::-1], cores=2))[-1] == "1 machine is resized."


async def test_a_host_in_maintenance_gives_nothing_more(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 1)
    await innkeeper.post(f"vm-hosts/{innkeeper.hosts['sim']}/", op="maintenance")
    told = await dry_run(innkeeper, machines, cores=2)
    assert told == [
        "vm-0 stays as it is: sim takes no more claims: it is in maintenance or being removed, or was just filled.",
        "0 machines are resized.",
    ]

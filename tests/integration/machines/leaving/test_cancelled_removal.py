"""A host's removal that is cancelled, or fails, while the machines of the host are being deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from common.errors import InnkeeperError
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import rows, sql
from tests.support.waiting import eventually

MACHINES = 12  # more than a region runs at once on a host
CHILDREN = """
    select id, state, hostname, reached_host, cancel_requested from operation where parent_id = $1 order by hostname
"""
OPEN = "select id from operation where is_open"
DELAY_CHILDREN = """
    update operation set not_before = now() + interval '1 hour' where parent_id = $1 and state = 'waiting'
    returning id
"""


async def host_with_machines(innkeeper: Deployment, count: int = MACHINES) -> int:
    """Returns the host's id. The machines are `vm-00`, `vm-01` and so on."""
    host = await innkeeper.add_simulated(guests=1, cores=64, memory_mib=65536, storage_gb=1000)
    for number in range(count):
        await innkeeper.compose(host["id"], hostname=f"vm-{number:02}", cores=1, memory=1024)
    return int(host["id"])


async def remove(innkeeper: Deployment, host_id: int) -> int:
    """Returns the id of the removal with all machines."""
    answer = await innkeeper.send("DELETE", f"vm-hosts/{host_id}/", query=[("decompose", "true")], headers=ASYNC)
    return int(answer.json()["id"])


async def cancel(innkeeper: Deployment, operation_id: int) -> None:
    await innkeeper.post(f"operations/{operation_id}/", op="cancel")


async def wait_until_deleting(
    innkeeper: Deployment, removal: int, count: int = MACHINES, *, reached: int = 1
) -> None:  # fmt: skip
    """Waits until every machine has a deletion, and so many of them have reached the host."""

    async def deleting() -> bool:
        children = await sql(innkeeper, CHILDREN, removal)
        return len(children) == count and sum(child["reached_host"] for child in children) >= reached

    await eventually(deleting)


async def acting_after_cancellation(innkeeper: Deployment, removal: int) -> list[str]:
    """Waits until no deletion can begin any more, and returns the machines of those that did, which must be held."""

    async def not_cancelled() -> dict[str, str]:  # a deletion that was cancelled runs for a moment, until it is undone
        children = await sql(innkeeper, CHILDREN, removal)
        return {one["hostname"]: one["state"] for one in children if not one["cancel_requested"]}

    async def all_act() -> bool:
        return {*(await not_cancelled()).values()} == {"running"}

    await eventually(all_act)
    return [*await not_cancelled()]


async def guests(innkeeper: Deployment) -> list[str]:
    return [name for name in innkeeper.simulated_guests() if name.startswith("vm-")]


async def machines(innkeeper: Deployment) -> dict[str, str]:
    """The status of each machine by hostname."""
    return {one["hostname"]: one["status_name"] for one in await innkeeper.get("machines/")}


@contextmanager
def held_deletions(innkeeper: Deployment) -> Iterator[None]:
    with innkeeper.held("remove guest", "find guest", "find existing guest"):
        yield


async def check_report(innkeeper: Deployment, removal: int, count: int = MACHINES) -> Any:
    """Checks that error, `undone` and event name what is gone and what is not, and returns the operation."""
    operation = await innkeeper.get(f"operations/{removal}/")
    there = await guests(innkeeper)
    gone = sorted({f"vm-{number:02}" for number in range(count)} - set(there))
    deleted = f"Deleted, with the virtual machine and its volumes: {', '.join(gone)}."
    (event,) = [one for one in (await innkeeper.get("events/", op="query"))["events"] if "was not removed" in str(one)]
    for text in (operation["error"]["message"], " ".join(operation["undone"]), event["description"]):
        assert (deleted if gone else "No virtual machine was deleted.") in text
        assert not there or f"Not deleted: {', '.join(there)}." in text
    details = operation["error"]["details"]
    assert (details["deleted"], details["kept"], details["uncertain"]) == (gone, there, [])
    assert operation["undone"][0] == "the host is available again"
    assert sorted(await machines(innkeeper)) == there
    assert set((await machines(innkeeper)).values()) <= {"Ready"}
    return operation


@pytest.mark.slow
async def test_a_cancelled_removal_stops_and_names_what_is_gone(innkeeper: Deployment) -> None:
    host_id = await host_with_machines(innkeeper)
    with held_deletions(innkeeper):
        removal = await remove(innkeeper, host_id)
        await wait_until_deleting(innkeeper, removal)
        await cancel(innkeeper, removal)
        acting = await acting_after_cancellation(innkeeper, removal)
        assert 0 < len(acting) < MACHINES
    assert await innkeeper.ended(removal) == "cancelled"
    assert await rows(innkeeper, OPEN) == []
    operation = await check_report(innkeeper, removal)
    assert operation["error"]["code"] == "cancelled"
    assert operation["error"]["details"]["deleted"] == sorted(acting)


async def test_a_cancelled_removal_does_not_end_before_its_deletions(innkeeper: Deployment) -> None:
    host_id = await host_with_machines(innkeeper, count=2)
    with held_deletions(innkeeper):
        removal = await remove(innkeeper, host_id)
        await wait_until_deleting(innkeeper, removal, count=2, reached=2)
        await cancel(innkeeper, removal)

        async def reason() -> bool:
            reason = "Undoing waits: On sim these machines are still being deleted: vm-00, vm-01."
            return reason in ((await innkeeper.get(f"operations/{removal}/"))["wait_reason"] or "")

        await eventually(reason)
        with pytest.raises(InnkeeperError, match=rf"operation {removal}\) is being undone. Try again") as rejected:
            await remove(innkeeper, host_id)
        assert rejected.value.details["status"] == 409
    assert await innkeeper.ended(removal) == "cancelled"
    assert await rows(innkeeper, OPEN) == []
    assert "undo_waits_for" not in (await innkeeper.get(f"operations/{removal}/"))["error"]["details"]


@pytest.mark.slow
async def test_a_host_can_be_removed_after_a_cancelled_removal(innkeeper: Deployment) -> None:
    host_id = await host_with_machines(innkeeper)
    with held_deletions(innkeeper):
        removal = await remove(innkeeper, host_id)
        await wait_until_deleting(innkeeper, removal)
        await cancel(innkeeper, removal)
    assert await innkeeper.ended(removal) == "cancelled"
    again = await remove(innkeeper, host_id)
    assert again != removal
    assert await innkeeper.ended(again) == "succeeded"
    assert innkeeper.simulated_guests() == ["foreign-0001"]


@pytest.mark.slow
async def test_a_failing_removal_waits_for_its_deletions(innkeeper: Deployment) -> None:
    host_id = await host_with_machines(innkeeper, count=4)
    with held_deletions(innkeeper):
        removal = await remove(innkeeper, host_id)
        await wait_until_deleting(innkeeper, removal, count=4)
        await sql(innkeeper, "update operation set failures = max_failures where id = $1", removal)
        await innkeeper.wait_for_state(removal, "undoing")
    assert await innkeeper.ended(removal) == "failed"
    assert await rows(innkeeper, OPEN) == []
    operation = await check_report(innkeeper, removal, count=4)
    assert "machines on sim are still being deleted" in operation["error"]["message"]


@pytest.mark.slow
async def test_an_engine_that_starts_again_ends_a_cancelled_removal(innkeeper: Deployment) -> None:
    host_id = await host_with_machines(innkeeper)
    with held_deletions(innkeeper):
        removal = await remove(innkeeper, host_id)
        await wait_until_deleting(innkeeper, removal)
        await cancel(innkeeper, removal)
        await innkeeper.region.components.engine.stop()
        innkeeper.region.components.engine.start()
    assert await innkeeper.ended(removal) == "cancelled"
    assert await rows(innkeeper, OPEN) == []
    await check_report(innkeeper, removal)


@pytest.mark.slow
async def test_the_removal_of_an_unreachable_host_can_be_cancelled(innkeeper: Deployment) -> None:
    host_id = await host_with_machines(innkeeper, count=2)
    await innkeeper.stop_rack("rack")
    removal = await remove(innkeeper, host_id)

    async def all_wait_for_the_host() -> bool:  # and make no attempt, which for a moment counts as one on the host
        return len(await sql(innkeeper, DELAY_CHILDREN, removal)) == 2

    await eventually(all_wait_for_the_host)
    await cancel(innkeeper, removal)
    assert await innkeeper.ended(removal) == "cancelled"
    assert await rows(innkeeper, OPEN) == []
    operation = await check_report(innkeeper, removal, count=2)
    assert operation["error"]["details"]["kept"] == ["vm-00", "vm-01"]


async def test_a_removal_without_machines_reports_none_when_cancelled(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="web")
    await innkeeper.region.components.engine.stop()
    answer = await innkeeper.send("DELETE", f"vm-hosts/{host['id']}/", headers=ASYNC)
    removal = int(answer.json()["id"])
    await cancel(innkeeper, removal)
    innkeeper.region.components.engine.start()
    assert await innkeeper.ended(removal) == "cancelled"
    operation = await innkeeper.get(f"operations/{removal}/")
    assert (operation["error"]["message"], operation["undone"]) == (
        "The operation was cancelled.",
        ["the host is available again"],
    )


@pytest.mark.parametrize(
    ("state", "is_listed", "after"),
    [("broken", True, "Broken"), ("missing", False, "Missing"), ("missing", True, "Ready")],
    ids=["broken", "missing", "found again meanwhile"],
)
async def test_a_cancelled_deletion_leaves_the_machine_as_it_was(
    innkeeper: Deployment, state: str, is_listed: bool, after: str
) -> None:
    await host_with_machines(innkeeper, count=1)
    (machine,) = await innkeeper.get("machines/")
    path = f"machines/{machine['system_id']}/"
    await innkeeper.stop_rack("rack")
    await sql(innkeeper, "update machine set state = $1, missing_since = now() returning id", state)
    if not is_listed:
        await sql(innkeeper, "delete from guest where machine_id is not null returning id")
    deletion = (await innkeeper.send("DELETE", path, headers=ASYNC)).json()["id"]
    await cancel(innkeeper, deletion)
    assert await innkeeper.ended(deletion) == "cancelled"
    assert await machines(innkeeper) == {"vm-00": after}

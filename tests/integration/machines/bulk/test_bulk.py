"""`machines/?op=bulk`: one operation with a child for each machine, a few at a time."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidRequest
from regiond.machines.bulk import steps
from regiond.machines.values.bulk import BulkAction
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.postgresql.database import execute, fetchval
from tests.postgresql.statement_log import statements_of
from tests.support.administrators import first_administrator
from tests.support.rejections import rejection
from tests.support.waiting import eventually


async def composed(innkeeper: Deployment, number: int) -> list[Any]:
    """That many machines, `vm-0` and so on, on one host with room for them."""
    host = await innkeeper.add_simulated(cores=32, memory_mib=65536, storage_gb=1000)
    return [
        await innkeeper.compose(host["id"], cores=1, memory=1024, hostname=f"vm-{index}") for index in range(number)
    ]


def ids(machines: list[Any]) -> list[str]:
    return [machine["system_id"] for machine in machines]


async def bulk(innkeeper: Any, action: str, machines: list[str], **more: Any) -> int:
    """Returns the id of the operation."""
    return int((await innkeeper.post("machines/", op="bulk", action=action, machines=machines, **more))["id"])


async def children(innkeeper: Deployment, operation_id: int) -> dict[str, str]:
    """The states of the children by hostname."""
    found = await innkeeper.get(f"operations/?parent={operation_id}&limit=1000")
    return {one["hostname"]: one["state"] for one in found}


@pytest.mark.slow
async def test_each_machine_has_a_child_and_the_result_counts_them(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 5)
    operation_id = await bulk(innkeeper, "power_on", ids(machines), at_once=2)
    assert await innkeeper.ended(operation_id) == "succeeded"
    assert await children(innkeeper, operation_id) == {f"vm-{index}": "succeeded" for index in range(5)}
    operation = await innkeeper.get(f"operations/{operation_id}/")
    assert operation["result"] == {"succeeded": 5, "failed": 0, "cancelled": 0, "not_begun": 0}
    assert {one["power_state"] for one in await innkeeper.get("machines/")} == {"on"}


@pytest.mark.slow
async def test_no_more_than_chosen_are_open_at_once(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 5)
    with innkeeper.held():
        operation_id = await bulk(innkeeper, "power_on", ids(machines), at_once=2)
        await eventually(lambda: _has_children(innkeeper, operation_id, 2))
        operation = await innkeeper.get(f"operations/{operation_id}/")
        assert (operation["state"], await children(innkeeper, operation_id)) == (
            "running",
            {"vm-0": "running", "vm-1": "running"},
        )
    assert await innkeeper.ended(operation_id) == "succeeded"


async def _has_children(innkeeper: Deployment, operation_id: int, number: int) -> bool:
    states = await children(innkeeper, operation_id)
    return len(states) == number and set(states.values()) == {"running"}


@pytest.mark.slow
async def test_the_end_of_a_child_wakes_its_parent(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "CHILD_FALLBACK_S", 3600.0)
    machines = await composed(innkeeper, 1)
    with innkeeper.held():
        operation_id = await bulk(innkeeper, "power_on", ids(machines))
        await eventually(lambda: _waits(innkeeper, operation_id))
    assert await innkeeper.ended(operation_id) == "succeeded"


async def _waits(innkeeper: Deployment, operation_id: int) -> bool:
    waiting = "select lease_owner is null and not_before > now() from operation where id = $1"
    return bool(await fetchval(innkeeper.region.components.database, waiting, operation_id))


@pytest.mark.slow
async def test_the_failure_of_one_does_not_stop_the_others(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 4)
    await make_deployed(innkeeper, machines[0])
    await innkeeper.post(f"machines/{machines[0]['system_id']}/", op="lock")
    operation_id = await bulk(innkeeper, "delete", ids(machines), at_once=1)
    assert await innkeeper.ended(operation_id) == "failed"
    assert await children(innkeeper, operation_id) == {
        "vm-0": "failed", "vm-1": "succeeded", "vm-2": "succeeded", "vm-3": "succeeded"
    }  # fmt: skip
    operation = await innkeeper.get(f"operations/{operation_id}/")
    assert operation["error"]["message"].startswith("1 of 4 machines was not deleted. vm-0: ")
    assert "locked" in operation["error"]["message"]
    assert (operation["result"]["succeeded"], operation["result"]["failed"]) == (3, 1)
    assert innkeeper.simulated_guests() == ["vm-0"]


@pytest.mark.slow
async def test_its_cancellation_leaves_those_that_have_not_begun(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 4)
    with innkeeper.held():
        operation_id = await bulk(innkeeper, "delete", ids(machines), at_once=1)
        await eventually(lambda: _has_children(innkeeper, operation_id, 1))
        await innkeeper.post(f"operations/{operation_id}/", op="cancel")
    assert await innkeeper.ended(operation_id) == "cancelled"
    assert await children(innkeeper, operation_id) == {"vm-0": "succeeded"}
    assert (await innkeeper.get(f"operations/{operation_id}/"))["undone"] == ["3 machines left as they were"]
    assert innkeeper.simulated_guests() == ["vm-1", "vm-2", "vm-3"]


async def test_a_restarted_region_continues_and_begins_nothing_twice(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 3)
    with innkeeper.held():
        operation_id = await bulk(innkeeper, "power_cycle", ids(machines), at_once=1)
        await eventually(lambda: _has_children(innkeeper, operation_id, 1))
        await innkeeper.region.components.engine.stop()
        innkeeper.region.components.engine.start()
    assert await innkeeper.ended(operation_id) == "succeeded"
    found = await innkeeper.get(f"operations/?parent={operation_id}")
    assert sorted(one["hostname"] for one in found) == ["vm-0", "vm-1", "vm-2"]


async def test_an_attempt_that_was_replaced_opens_no_child(innkeeper: Deployment) -> None:
    """Else a region that was frozen would restart a VM a second time."""
    machines = await composed(innkeeper, 1)
    components = innkeeper.region.components
    await components.engine.stop()
    operation_id = await bulk(innkeeper, "power_cycle", ids(machines))
    operation = await components.services.operations.read(operation_id, caller=None)
    await execute(components.database, "update operation set attempt = 1 where id = $1", operation_id)
    await components.engine.run_attempt(operation)  # of attempt 0
    assert await children(innkeeper, operation_id) == {}
    components.engine.start()
    assert await innkeeper.ended(operation_id) == "succeeded"


async def test_a_repeat_with_the_same_key_is_the_same_operation(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 1)
    fields = {"action": "power_cycle", "machines": ids(machines)}
    headers = {**ASYNC, "Idempotency-Key": "once"}
    first, second = [await innkeeper.post("machines/", op="bulk", headers=headers, **fields) for _ in range(2)]
    assert first["id"] == second["id"]


async def test_a_dry_run_of_a_deletion_names_what_goes_and_stays(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 2)
    await make_deployed(innkeeper, machines[0])
    await innkeeper.post(f"machines/{machines[0]['system_id']}/", op="lock")
    plan = await innkeeper.post("machines/", op="bulk", action="delete", machines=ids(machines), dry_run="true")
    assert [guest["name"] for guest in plan["deleted"]] == ["vm-1"]
    assert any(effect.startswith("vm-0 stays as it is: ") for effect in plan["effects"])
    plan = await innkeeper.post("machines/", op="bulk", action="power_on", machines=ids(machines), dry_run="true")
    assert plan["effects"][0].startswith("vm-0 stays as it is: vm-0 is locked")
    assert plan["effects"][1:] == ["1 machine is powered on."]
    assert len(innkeeper.simulated_guests()) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"action": "power_on", "machines": ["nobody"]}, "nobody"),
        ({"action": "explode", "machines": ["vm-0"]}, "explode"),
        ({"action": "power_on"}, "machines"),
        ({"action": "power_on", "machines": ["vm-0"], "at_once": "0"}, "at_once"),
        ({"action": "power_on", "machines": ["vm-0"], "at_once": "17"}, "at_once"),
    ],
)
async def test_bad_input_is_rejected(innkeeper: Deployment, fields: dict[str, Any], message: str) -> None:
    await composed(innkeeper, 1)
    error = await rejection(innkeeper.post("machines/", op="bulk", **fields))
    assert error.details["status"] == 400
    assert isinstance(error, InvalidRequest)
    assert message in str(error.fields)
    assert await innkeeper.get("operations/?state=queued") == []


@pytest.mark.slow
async def test_a_user_acts_on_own_machines_and_may_cancel(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 3)
    ann = await as_user(innkeeper, "ann")
    own = [await ann.post("machines/", op="allocate", system_id=one) for one in ids(machines[:2])]
    foreign = await rejection(ann.post("machines/", op="bulk", action="power_on", machines=ids(machines)))
    assert foreign.details["status"] == 403
    assert foreign.message.startswith("Not allowed on vm-2. ")
    with innkeeper.held():
        operation_id = await bulk(ann, "power_on", ids(own), at_once=1)
        await eventually(lambda: _has_children(innkeeper, operation_id, 1))
        bob = await as_user(innkeeper, "bob")
        assert (await rejection(bob.post(f"operations/{operation_id}/", op="cancel"))).details["status"] == 404
        await ann.post(f"operations/{operation_id}/", op="cancel")
    assert await innkeeper.ended(operation_id) == "cancelled"


async def test_a_user_who_lost_the_machine_meanwhile_changes_it_no_more(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 2)
    ann = await as_user(innkeeper, "ann")
    own = [await ann.post("machines/", op="allocate", system_id=one) for one in ids(machines)]
    with innkeeper.held():
        operation_id = await bulk(ann, "power_on", ids(own), at_once=1)
        await eventually(lambda: _has_children(innkeeper, operation_id, 1))
        await innkeeper.post("resourcepool/default/", op="revoke", user="ann")
    assert await innkeeper.ended(operation_id) == "failed"
    states = await children(innkeeper, operation_id)
    assert sorted(states.values()) == ["failed", "succeeded"]


async def test_a_dry_run_reads_all_machines_at_once(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a power action and of a deployment, with an allocated machine among them."""
    await add_image(innkeeper, "ubuntu/noble")
    machines = await composed(innkeeper, 6)
    await innkeeper.post("machines/", op="allocate", system_id=machines[0]["system_id"])
    components = innkeeper.region.components
    caller = await first_administrator(components.database)
    for action in (BulkAction.POWER_ON, BulkAction.DEPLOY):
        executed = []
        for number in (2, 6):
            with statements_of(components.database, monkeypatch) as statements:
                await components.services.bulk.plan(caller, action, ids(machines[:number]))
            executed.append(len(statements))
        assert executed[0] == executed[1] > 0


@pytest.mark.slow
async def test_many_machines_are_deployed_with_one_image_and_user_data(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    machines = await composed(innkeeper, 3)
    database = innkeeper.region.components.database
    plan = await innkeeper.post(
        "machines/", op="bulk", action="deploy", machines=ids(machines), distro_series="noble", dry_run="true"
    )
    assert plan["effects"] == ["What is on the root disks of these machines is lost.", "3 machines are deployed."]
    with innkeeper.held():
        operation_id = await bulk(
            innkeeper, "deploy", ids(machines), distro_series="noble", user_data="#!/bin/sh\necho hello", at_once=1,
            comment="new web tier",
        )  # fmt: skip
        sealed = await fetchval(database, "select sealed_user_data from bulk_user_data")
        assert b"hello" not in bytes(sealed)
        assert "user_data" not in (await innkeeper.get(f"operations/{operation_id}/"))["request"]
    assert await innkeeper.ended(operation_id) == "succeeded"
    assert {one["status_name"] for one in await innkeeper.get("machines/")} == {"Deployed"}
    assert all(innkeeper.simulated().user_data_of(f"vm-{index}") for index in range(3))
    assert await fetchval(database, "select count(*) from bulk_user_data") == 0


async def test_a_bulk_deployment_checks_image_and_user_data_first(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 2)
    for field, wrong in (("distro_series", "nosuch"), ("user_data", "no script")):
        error = await rejection(bulk(innkeeper, "deploy", ids(machines), **{field: wrong}))
        assert isinstance(error, InvalidRequest)
        assert list(error.fields) == [field]
    error = await rejection(
        innkeeper.post("machines/", op="bulk", action="power_on", machines=ids(machines), distro_series="noble")
    )
    assert error.details["fields"] == {"distro_series": ["This is for the action deploy or rebuild."]}


@pytest.mark.slow
async def test_a_cancelled_bulk_deployment_forgets_the_user_data(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    machines = await composed(innkeeper, 2)
    with innkeeper.held():
        operation_id = await bulk(
            innkeeper, "deploy", ids(machines), distro_series="noble", user_data="#!/bin/sh\n", at_once=1
        )
        await eventually(lambda: _has_children(innkeeper, operation_id, 1))
        await innkeeper.post(f"operations/{operation_id}/", op="cancel")
    assert await innkeeper.ended(operation_id) == "cancelled"
    assert await fetchval(innkeeper.region.components.database, "select count(*) from bulk_user_data") == 0


@pytest.mark.slow
async def test_a_dry_run_of_a_deployment_leaves_out_what_is_refused(innkeeper: Deployment) -> None:
    """One is broken, the disk of one is too small, and the quota has room for one of the three that are free."""
    await add_image(innkeeper, "ubuntu/noble", disk_bytes=2_000_000_000)
    machines = await composed(innkeeper, 5)
    small = await innkeeper.compose(innkeeper.hosts["sim"], cores=1, memory=1024, storage="1", hostname="small")
    ann = await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", user="ann", machines=3)
    for machine in machines[:2]:
        await ann.post("machines/", op="allocate", system_id=machine["system_id"])
    await innkeeper.post(f"machines/{ids(machines)[1]}/", op="mark_broken")
    wanted = [*ids(machines), small["system_id"]]
    plan = await ann.post(
        "machines/", op="bulk", action="deploy", machines=wanted, distro_series="noble", dry_run="true"
    )
    left_out = [effect.partition(" stays as it is: ") for effect in plan["effects"][:-2]]
    assert {name: reason.partition(":")[0].partition(" has ")[0] for name, _, reason in left_out} == {
        "vm-1": "A machine that is Broken cannot be deployed",
        "vm-3": "quota of user ann",
        "vm-4": "quota of user ann",
        "small": "The root disk of small",
    }
    assert plan["effects"][-2:] == ["What is on the root disks of the others is lost.", "2 machines are deployed."]
    operation_id = await bulk(ann, "deploy", wanted, distro_series="noble")
    await innkeeper.ended(operation_id)
    states = await children(innkeeper, operation_id)
    assert {name for name, state in states.items() if state == "failed"} == {name for name, _, _ in left_out}

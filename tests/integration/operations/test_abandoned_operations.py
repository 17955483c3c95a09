"""Undoing ends by itself where it can; where it cannot, an administrator ends it, and nothing is counted too low."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from common.errors import InvalidRequest
from rackd.drivers.simulated.fault_injection import Call
from regiond.operations.model import UNDO_WAITS_FOR
from tests.deployment.deployment import Deployment
from tests.integration.audit.test_audit_api import trail
from tests.integration.machines.disks.test_disk_changes import claimed_gb, composed, events, path
from tests.integration.rpc.test_rpc_misuse import client_of
from tests.integration.support.adoption import claims, refresh, rows
from tests.integration.support.users import as_user
from tests.support.rejections import rejection
from tests.support.waiting import eventually

WHY = "the host was reinstalled"
# What is asked, and the call of the host in which it is cancelled.
CHANGES: Mapping[str, tuple[Mapping[str, Any], Call]] = {
    "add_disk": ({"op": "add_disk", "size": 5}, "attach disk"),
    "grow_disk": ({"op": "grow_disk", "disk": "sda", "size": 12}, "grow disk"),
    "resize": ({"op": "resize", "cores": 2}, "resize guest"),
}


@asynccontextmanager
async def stuck(innkeeper: Deployment, machine: Any, change: str, host: str = "sim") -> AsyncIterator[int]:
    """Yields an operation that is being undone on a host that does not answer, until the block ends."""
    request, held = CHANGES[change]
    with innkeeper.held(held, name=host):
        operation = await innkeeper.begin(path(machine), **request)
        await eventually(innkeeper.simulated(host).is_holding)
        await innkeeper.post(f"operations/{operation}/", op="cancel")
        down = innkeeper.simulated(host).down()
        down.__enter__()
    try:
        await eventually(lambda: fails_to_undo(innkeeper, operation))
        yield operation
    finally:
        down.__exit__(None, None, None)


async def fails_to_undo(innkeeper: Deployment, operation: int) -> bool:
    found = await innkeeper.get(f"operations/{operation}/")
    return found["state"] == "undoing" and UNDO_WAITS_FOR in (found["error"] or {"details": {}})["details"]


async def abandon(innkeeper: Deployment, operation: int, **fields: Any) -> Any:
    return await innkeeper.post(f"operations/{operation}/", op="abandon", **{"comment": WHY, **fields})


async def test_growing_a_disk_whose_volume_is_gone_fails_once(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    rows(innkeeper, "delete from volume")
    error = await rejection(innkeeper.post(path(machine), op="grow_disk", disk="sda", size=12))
    assert "its volume does not exist" in str(error)
    (operation,) = await innkeeper.get("operations/?kind=grow_disk")
    assert (operation["state"], operation["attempt"]) == ("failed", 1)
    assert await claimed_gb(innkeeper, machine) == 12, "nobody knows how large the disk is"
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    await innkeeper.delete(path(machine))
    assert await innkeeper.get("machines/") == []


@pytest.mark.parametrize("change", CHANGES)
async def test_an_abandoned_operation_frees_its_machine(innkeeper: Deployment, change: str) -> None:
    machine = await composed(innkeeper)
    async with stuck(innkeeper, machine, change) as operation:
        assert "Another operation acts on" in str(await rejection(innkeeper.delete(path(machine))))
        claimed = await claims(innkeeper)
        ended = await abandon(innkeeper, operation)
        assert (ended["state"], ended["error"]["code"]) == ("failed", "abandoned")
        assert await claims(innkeeper) == claimed
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await innkeeper.own_discrepancies() == []
    await innkeeper.delete(path(machine))
    assert innkeeper.simulated_guests() == []
    assert await innkeeper.fetch("select * from claim") == []


async def test_an_abandoned_operation_says_who_why_and_what_is_known(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    async with stuck(innkeeper, machine, "add_disk") as operation:
        plan = await innkeeper.post(f"operations/{operation}/", op="abandon", dry_run="true")
        assert "ends as failed. Nothing more is undone. web can be used again." in plan["effects"][0]
        known = [one for one in plan["effects"][1:] if not one.startswith("An attempt")]
        assert known[0].startswith("Undoing failed last with: ")
        assert known[1].startswith("It reached sim; its last step was: ")
        assert "_" not in known[1]
        assert (await innkeeper.get(f"operations/{operation}/"))["state"] == "undoing"
        error = (await abandon(innkeeper, operation))["error"]
    assert f"Undoing it was abandoned by admin: {WHY}. Undoing failed last with: " in error["message"]
    assert (error["details"]["abandoned"]["by"], error["details"]["abandoned"]["reason"]) == ("admin", WHY)
    (event,) = await events(innkeeper, "operation_abandoned")
    assert event.startswith(f"Operation {operation}, which adds a disk to web on sim, was abandoned.")
    log = (await innkeeper.get(f"operations/{operation}/"))["log"]
    assert log[-1]["message"] == "abandoned"


async def test_only_an_administrator_abandons_only_what_cannot_end(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    (done,) = await innkeeper.get("operations/?kind=compose")
    refused = await rejection(abandon(innkeeper, done["id"]))
    assert str(refused) == f"Operation {done['id']} has ended (succeeded): there is nothing to abandon."
    with innkeeper.held("grow disk"):
        running = await innkeeper.begin(path(machine), op="grow_disk", disk="sda", size=12)
        await eventually(innkeeper.simulated().is_holding)
        refusal = await rejection(abandon(innkeeper, running))
        assert f"innkeeper operation cancel {running}" in str(refusal)
        assert refusal.details["status"] == 409
    assert await innkeeper.ended(running) == "succeeded"
    async with stuck(innkeeper, machine, "add_disk") as operation:
        assert (await rejection(abandon(innkeeper, operation, comment=""))).details["status"] == 400
        bob = await as_user(innkeeper, "bob")
        assert (await rejection(abandon(bob, operation))).details["status"] in {403, 404}


async def test_a_deletion_waits_for_the_command_of_an_abandoned_operation(innkeeper: Deployment) -> None:
    """It may still run on a rack: what it makes would be left behind."""
    machine = await composed(innkeeper)
    async with stuck(innkeeper, machine, "add_disk") as operation:
        await abandon(innkeeper, operation)
        deletion = await innkeeper.begin(path(machine), method="DELETE")
        request = await innkeeper.fetch(
            "select request ->> 'earlier' as earlier from operation where id = $1", deletion
        )
    assert request[0]["earlier"] == str(operation)
    assert await innkeeper.ended(deletion) == "succeeded"


async def test_an_abandoned_compose_leaves_a_machine_that_a_refresh_finds_or_not(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=32768)
    with innkeeper.held("define guest"):
        operation = await innkeeper.begin_compose(innkeeper.hosts["sim"], hostname="web", cores=1, memory=1024)
        await eventually(innkeeper.simulated().is_holding)
        await innkeeper.post(f"operations/{operation}/", op="cancel")
        down = innkeeper.simulated().down()
        down.__enter__()
    await eventually(lambda: fails_to_undo(innkeeper, operation))
    await abandon(innkeeper, operation)
    (machine,) = await innkeeper.get("machines/")
    assert machine["status_name"] == "Missing"
    down.__exit__(None, None, None)
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    await innkeeper.delete(path(machine))
    assert innkeeper.simulated_guests() == innkeeper.simulated().volume_names() == []
    assert await innkeeper.fetch("select * from claim") == []


async def test_an_rpc_client_abandons_an_operation(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    async with stuck(innkeeper, machine, "grow_disk") as operation, client_of(innkeeper) as region:
        with pytest.raises(InvalidRequest, match="comment"):
            await region.abandon(operation, "")
        ended = await region.abandon(operation, WHY)
        assert (ended.id, ended.state, ended.error_code) == (operation, "failed", "abandoned")
    (entry,) = await trail(innkeeper, action="client.abandon", result="ok")
    assert entry["fields"] == {"comment": WHY}

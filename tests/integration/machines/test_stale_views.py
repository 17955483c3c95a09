"""A machine changes after a request has read it and before its operation is open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import Busy, InnkeeperError
from common.words.operation_kinds import OperationKind
from regiond.machines.core.operation_intents import open_operation
from regiond.machines.values.lifecycle import MachineEvent
from regiond.machines.values.model import MachineView
from regiond.racks.service import read_installation_id
from regiond.requests.caller import Caller
from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_deployed_ready_machines import deploy, ready
from tests.integration.machines.disks.test_disk_changes import add, composed, path, remove, volumes
from tests.integration.support.adoption import rows
from tests.integration.support.rigs.host_restarts import composed as composed_running
from tests.integration.support.rigs.host_restarts import decided, passes, powers_of, restarted, starts
from tests.integration.support.tables import lock_waiters
from tests.integration.support.users import as_user, own
from tests.support.waiting import eventually


async def read(innkeeper: Deployment, machine: Any) -> MachineView:
    return await innkeeper.region.components.services.machines.read(machine["system_id"])


async def open_(innkeeper: Deployment, kind: OperationKind, machine: MachineView, begins: MachineEvent | None) -> int:
    async with innkeeper.region.components.database.transaction() as db:
        installation_id = await read_installation_id(db)
        return await open_operation(db, kind, machine, installation_id, account_id=None, begins=begins)


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        (OperationKind.DELETE, MachineEvent.DELETE),
        (OperationKind.RELEASE, None),
        (OperationKind.DEPLOY, MachineEvent.DEPLOY),
    ],
)
async def test_a_disk_that_was_just_kept_is_not_deleted_with_its_machine(
    innkeeper: Deployment, kind: OperationKind, begins: MachineEvent | None
) -> None:
    machine = await composed(innkeeper)
    await add(innkeeper, machine)
    before = await read(innkeeper, machine)
    await remove(innkeeper, machine, keep=True)
    with pytest.raises(Busy, match="web has just got, lost or moved a disk"):
        await open_(innkeeper, kind, before, begins)
    await innkeeper.delete(path(machine))
    assert [size for _, size in volumes(innkeeper)] == [5]


async def test_a_moved_disk_is_not_left_behind(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=32768, pools="local:100,nvme:50")
    machine = await composed(innkeeper)
    before = await read(innkeeper, machine)
    await innkeeper.post(path(machine), op="move_disk", disk="sda", pool="nvme")
    with pytest.raises(Busy):
        await open_(innkeeper, OperationKind.DELETE, before, MachineEvent.DELETE)


async def test_a_move_that_is_being_recorded_is_waited_for(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    other = (await innkeeper.add_simulated("other"))["id"]
    before = await read(innkeeper, machine)
    database = innkeeper.region.components.database
    async with database.transaction() as refresh:
        await refresh.execute("update machine set host_id = $2 where system_id = $1", machine["system_id"], other)
        opening = asyncio.create_task(open_(innkeeper, OperationKind.DELETE, before, MachineEvent.DELETE))
        await eventually(lambda: lock_waiters(database))
    with pytest.raises(Busy, match="or was moved itself"):
        await opening
    await innkeeper.fetch(
        "update machine set host_id = $2 where system_id = $1", machine["system_id"], innkeeper.hosts["sim"]
    )


async def test_a_request_is_tried_again_with_the_machine_as_it_is(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await composed(innkeeper)
    await add(innkeeper, machine)
    machines = innkeeper.region.components.services.machines
    views = [await read(innkeeper, machine)]
    await remove(innkeeper, machine, keep=True)
    views.append(await read(innkeeper, machine))

    async def read_in_turn(system_id: str, *, caller: Caller | None = None) -> MachineView:
        return views.pop(0)

    monkeypatch.setattr(machines, "read", read_in_turn)
    operation = await machines.start_delete(innkeeper.admin, machine["system_id"])
    assert (await innkeeper.ended(operation.id), views) == ("succeeded", [])
    assert [size for _, size in volumes(innkeeper)] == [5], "the kept one"


@pytest.mark.parametrize("several", [False, True])
async def test_a_release_is_tried_again_with_the_machine_as_it_is(innkeeper: Deployment, *, several: bool) -> None:
    machine = await composed(innkeeper)
    await own(innkeeper, machine["system_id"], "admin")
    database = innkeeper.region.components.database
    async with database.transaction() as db:
        await db.execute("select from machine where system_id = $1 for no key update", machine["system_id"])
        request = {"machines": machine["system_id"]} if several else {}
        releasing = asyncio.create_task(
            innkeeper.post("machines/" if several else path(machine), op="release", **request)
        )
        await eventually(lambda: lock_waiters(database))
        await db.execute("update machine_disk set volume = volume || '-moved'")
    await releasing
    await innkeeper.fetch("update machine_disk set volume = replace(volume, '-moved', '')")


async def test_a_machine_is_not_deleted_for_somebody_whose_it_is_not_any_more(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await composed(innkeeper)
    await as_user(innkeeper, "alice")
    machines = innkeeper.region.components.services.machines
    before = await read(innkeeper, machine)
    await own(innkeeper, machine["system_id"], "alice")

    async def read_before(system_id: str, *, caller: Caller | None = None) -> MachineView:
        return before

    monkeypatch.setattr(machines, "read", read_before)
    with pytest.raises(Busy, match="The owner of web has just changed"):
        await machines.start_delete(innkeeper.admin, machine["system_id"])
    assert [one for one in await innkeeper.get("operations/") if one["kind"] == "delete"] == []


async def test_an_accepted_machine_is_not_started(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    (web,) = await composed_running(innkeeper, "web")
    await restarted(innkeeper, web)
    await decided(innkeeper)
    await passes(innkeeper)
    is_due = "regiond.machines.power.wanted_power.store.is_to_start"

    async def accepted_after(*_: Any) -> bool:
        await powers_of(innkeeper).accept_off(innkeeper.admin, web["system_id"])
        return True

    monkeypatch.setattr(is_due, accepted_after)
    await decided(innkeeper)
    assert await starts(innkeeper) == []
    assert rows(innkeeper, "select power from guest where name = 'web'") == [("off",)]


async def test_a_machine_is_not_deployed_for_somebody_whose_it_is_not_any_more(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, system_id = await ready(innkeeper)
    bob = await as_user(innkeeper, "bob")
    await bob.post("machines/", op="allocate", name="web")
    await as_user(innkeeper, "alice")

    async def given_away(*_: Any) -> dict[str, int]:
        await own(innkeeper, system_id, "alice")
        return {}

    monkeypatch.setattr("regiond.machines.running.deployment.service.earlier_operation", given_away)
    with pytest.raises(InnkeeperError, match="You do not own web"):
        await deploy(bob, system_id)
    assert (await innkeeper.get(f"machines/{system_id}/"))["status_name"] == "Allocated"

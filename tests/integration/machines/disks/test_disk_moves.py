"""Disks that move to another storage pool of their host: with their content, claimed once more meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.disks.disk_content import CopiedDisk
from common.errors import WrongState
from common.guests.guest_spec import DiskSpec
from common.values import GuestRef
from rackd.drivers.simulated.disks.disk_moves import SimulatedDiskMoves
from rackd.drivers.simulated.fault_injection import Call
from regiond.machines.hardware.disks import copy_progress
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_disk_changes import GB, events, path
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.users import as_user
from tests.support.clock import in_no_time
from tests.support.rejections import outcomes, rejection
from tests.support.waiting import eventually


async def composed(innkeeper: Deployment, name: str = "web", pools: str = "local:100,nvme:50", **fields: Any) -> Any:
    if "sim" not in innkeeper.hosts:
        await innkeeper.add_simulated(cores=16, memory_mib=32768, pools=pools)
    return await innkeeper.compose(
        innkeeper.hosts["sim"], hostname=name, cores=1, memory=1024, storage="root:8,data:5", **fields
    )


async def move(innkeeper: Deployment, machine: Any, disk: str = "sdb", pool: str = "nvme", **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="move_disk", disk=disk, pool=pool, **fields)


async def pools_of(innkeeper: Deployment, machine: Any) -> list[tuple[str, str]]:
    disks = await innkeeper.get(f"nodes/{machine['system_id']}/blockdevices/")
    return [(disk["name"], disk["storage_pool_name"]) for disk in disks]


async def claimed(innkeeper: Deployment, machine: Any) -> dict[str, float]:
    """GB by storage pool."""
    found = await innkeeper.fetch(
        "select p.name, c.amount from claim c join machine m on m.id = c.machine_id"
        " join storage_pool p on p.id = c.storage_pool_id where m.system_id = $1",
        machine["system_id"],
    )
    return {row["name"]: row["amount"] / GB for row in found}


def volumes(innkeeper: Deployment) -> list[tuple[str, str, int]]:
    """Pools of all volumes of the host, the ends of their names, and their sizes in GB."""
    found = rows(innkeeper, "select pool, name, size_bytes from volume order by pool, name")
    return [(pool, name[-2:], size // GB) for pool, name, size in found]


def write(innkeeper: Deployment) -> None:
    """Something is on every disk."""
    rows(innkeeper, "insert or ignore into written select pool, name from volume")


def written(innkeeper: Deployment) -> list[tuple[str, str]]:
    return [(pool, name[-2:]) for pool, name in rows(innkeeper, "select pool, volume from written order by 1, 2")]


HERE, CLAIMED = [("sda", "local"), ("sdb", "local")], {"local": 13}


async def test_a_disk_moves_with_its_content(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    write(innkeeper)
    moved = await move(innkeeper, machine)
    assert [disk["storage_pool_name"] for disk in moved["blockdevice_set"]] == ["local", "nvme"]
    assert volumes(innkeeper) == [("local", "-0", 8), ("nvme", "-2", 5)]
    assert written(innkeeper) == [("local", "-0"), ("nvme", "-2")]
    for _ in range(2):
        assert await claimed(innkeeper, machine) == {"local": 8, "nvme": 5}
        assert await innkeeper.discrepancies() == []
        await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    (event,) = await events(innkeeper, "machine_disk_moved")
    assert event.startswith("data of web on sim is in the storage pool nvme: ik-")
    await innkeeper.post(path(machine), op="power_on")
    await innkeeper.post(path(machine), op="add_disk", size=1)
    assert volumes(innkeeper)[-1] == ("nvme", "-2", 5)
    await innkeeper.delete(path(machine))
    assert volumes(innkeeper) == []


async def test_the_root_disk_moves_and_can_be_deployed_to(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    write(innkeeper)
    await move(innkeeper, machine, "sda")
    assert await pools_of(innkeeper, machine) == [("sda", "nvme"), ("sdb", "local")]
    assert written(innkeeper) == [("local", "-1"), ("nvme", "-2")]
    await move(innkeeper, machine, "sda", "local")
    assert volumes(innkeeper) == [("local", "-1", 5), ("local", "-3", 8)]
    assert (await claimed(innkeeper, machine), await innkeeper.discrepancies()) == (CLAIMED, [])
    await innkeeper.post("machines/", op="allocate", name="web")
    await innkeeper.post(path(machine), op="release", erase="true")
    assert written(innkeeper) == []


@pytest.mark.parametrize("call", ["copy disk", "copy content of disk", "use copy of disk", "remove volumes"])
async def test_the_space_of_the_copy_is_claimed_meanwhile(innkeeper: Deployment, call: Call) -> None:
    machine = await composed(innkeeper)
    with innkeeper.simulated().hold(call):
        moving = asyncio.create_task(move(innkeeper, machine))
        await eventually(lambda: innkeeper.simulated().is_holding())
        assert await claimed(innkeeper, machine) == {"local": 13, "nvme": 5}
        assert ("sdb", "nvme" if call == "remove volumes" else "local") in await pools_of(innkeeper, machine)
    await moving
    assert await claimed(innkeeper, machine) == {"local": 8, "nvme": 5}
    assert volumes(innkeeper) == [("local", "-0", 8), ("nvme", "-2", 5)]


async def test_a_full_storage_pool_is_refused_in_numbers(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, pools="local:100,nvme:4")
    for dry_run in ("true", "false"):
        error = await rejection(move(innkeeper, machine, dry_run=dry_run))
        assert error.details["status"] == 503
        assert "needs a disk of 5.0 GB, 4.0 of 4.0 GB free" in str(error)
    error = await rejection(move(innkeeper, machine, pool="none"))
    assert "the host has local, nvme" in str(error)
    (refused,) = await outcomes([move(innkeeper, machine, pool="local")])
    assert refused == "400: pool: data of web is already in local."
    assert (await pools_of(innkeeper, machine), await claimed(innkeeper, machine)) == (HERE, CLAIMED)


async def test_two_machines_never_exceed_the_storage_pool(innkeeper: Deployment) -> None:
    machines = [await composed(innkeeper, name, pools="local:100,nvme:9") for name in ("a", "b", "c")]
    found = await outcomes([move(innkeeper, one) for one in machines])
    assert sorted(one.partition(":")[0] for one in found) == ["503", "503", "done"]
    (pool,) = await innkeeper.fetch("select claimed_bytes from storage_pool where name = 'nvme'")
    assert pool["claimed_bytes"] == 5 * GB


async def test_of_two_callers_one_moves_the_disk(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    found = await outcomes([move(innkeeper, machine) for _ in range(2)])
    assert "done" in found
    assert all(one == "done" or "operation" in one or "already in nvme" in one for one in found), found
    assert await claimed(innkeeper, machine) == {"local": 8, "nvme": 5}
    assert len(volumes(innkeeper)) == 2


async def test_a_disk_of_a_running_machine_moves(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    write(innkeeper)
    plan = await move(innkeeper, machine, dry_run="true")
    assert plan["effects"][2].startswith("web keeps running")
    moved = await move(innkeeper, machine)
    assert moved["power_state"] == "on"
    assert written(innkeeper) == [("local", "-0"), ("nvme", "-2")]
    assert await claimed(innkeeper, machine) == {"local": 8, "nvme": 5}
    (operation,) = await innkeeper.get("operations/?kind=move_disk")
    log = (await innkeeper.get(f"operations/{operation['id']}/"))["log"]
    assert [one["details"]["percent"] for one in log if one["message"] == "disk copied in part"] == [50]
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await innkeeper.discrepancies() == []


@pytest.mark.slow
@pytest.mark.parametrize("call", ["copy content of disk", "use copy of disk"])
async def test_a_machine_that_stops_meanwhile_has_its_disk_copied_anew(innkeeper: Deployment, call: Call) -> None:
    machine = await composed(innkeeper, power_on="true")
    write(innkeeper)
    with innkeeper.simulated().hold(call):
        moving = asyncio.create_task(move(innkeeper, machine))
        await eventually(lambda: innkeeper.simulated().is_holding())
        rows(innkeeper, "update guest set power = 'off'")
        rows(innkeeper, "insert into change (event, guest_name, guest_id, power) "
                        "select 'power', name, guest_id, power from guest")  # fmt: skip
    await in_no_time(moving, step_s=0.25)  # its deadlines are for threads, which are as fast as they are
    assert written(innkeeper) == [("local", "-0"), ("nvme", "-2")]
    assert volumes(innkeeper) == [("local", "-0", 8), ("nvme", "-2", 5)]


async def test_a_copy_that_stands_still_ends_in_words(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = await composed(innkeeper, power_on="true")
    write(innkeeper)
    begin = SimulatedDiskMoves.copy

    def stand(moves: SimulatedDiskMoves, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec) -> CopiedDisk:
        if not any(pool == "nvme" for pool, _, _ in volumes(innkeeper)):
            begin(moves, guest, pool_id, volume, copy)
        return CopiedDisk(state="", percent=50, done_bytes=7, is_complete=False)

    monkeypatch.setattr(SimulatedDiskMoves, "copy", stand)
    monkeypatch.setattr(copy_progress, "STANDS_S", 0.2)
    error = await rejection(move(innkeeper, machine))
    assert "data of web was not moved: its copy ik-" in str(error)
    assert "-2 in nvme has stood at 50 % for" in str(error)
    assert "The disk stays in local, where web uses it, and the copy is deleted." in str(error)
    assert (await pools_of(innkeeper, machine), await claimed(innkeeper, machine)) == (HERE, CLAIMED)
    assert volumes(innkeeper) == [("local", "-0", 8), ("local", "-1", 5)]


async def test_a_dry_run_says_what_moves_and_changes_nothing(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    before = await innkeeper.fetch("select count(*) from operation")
    plan = await move(innkeeper, machine, dry_run="true")
    assert plan["effects"][0] == "data of web (5.0 GB) moves from local to nvme of sim, with its content."
    assert plan["effects"][1].startswith("The copy claims 5.0 GB of nvme at once")
    assert await innkeeper.fetch("select count(*) from operation") == before
    assert (await pools_of(innkeeper, machine), await claimed(innkeeper, machine)) == (HERE, CLAIMED)


@pytest.mark.parametrize("function", ["SimulatedDiskMoves._make_volume", "SimulatedDiskMoves.use"])
async def test_a_failure_leaves_everything_as_it_was(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    machine = await composed(innkeeper)
    write(innkeeper)
    before = volumes(innkeeper)

    def refuse(*_: object, **__: object) -> None:
        raise WrongState("the host does not copy it")

    with monkeypatch.context() as refusing:
        refusing.setattr(f"rackd.drivers.simulated.disks.disk_moves.{function}", refuse)
        error = await rejection(move(innkeeper, machine))
    assert "the host does not copy it" in str(error)
    assert (await pools_of(innkeeper, machine), await claimed(innkeeper, machine)) == (HERE, CLAIMED)
    assert (volumes(innkeeper), written(innkeeper)) == (before, [("local", "-0"), ("local", "-1")])
    assert await innkeeper.discrepancies() == []
    await move(innkeeper, machine)
    assert written(innkeeper) == [("local", "-0"), ("nvme", "-2")]


@pytest.mark.parametrize("call", ["copy content of disk", "use copy of disk", "remove volumes"])
async def test_a_cancelled_move_leaves_one_whole_disk(innkeeper: Deployment, call: Call) -> None:
    """Once the guest uses the copy, the move is completed."""
    machine = await composed(innkeeper)
    write(innkeeper)
    with innkeeper.simulated().hold(call):
        moving = asyncio.create_task(move(innkeeper, machine))
        await eventually(lambda: innkeeper.simulated().is_holding())
        (operation,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "move_disk"]
        await innkeeper.cancel(operation["id"])
    await asyncio.gather(moving, return_exceptions=True)
    await innkeeper.ended(operation["id"])
    (_, where) = (await pools_of(innkeeper, machine))[1]
    assert where == ("nvme" if call == "remove volumes" else where)
    assert {pool for pool, _, size in volumes(innkeeper) if size == 5} == {where}
    assert len(written(innkeeper)) == len(volumes(innkeeper)) == 2
    assert await claimed(innkeeper, machine) == (CLAIMED if where == "local" else {"local": 8, "nvme": 5})
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await innkeeper.discrepancies() == []


@pytest.mark.parametrize(
    "call",
    [
        "copy content of disk",
        "use copy of disk",
        pytest.param("remove volumes", marks=pytest.mark.slow),  # the refresh waits until that call is abandoned
    ],
)
async def test_no_refresh_and_no_repair_removes_a_volume_meanwhile(innkeeper: Deployment, call: Call) -> None:
    machine = await composed(innkeeper)
    write(innkeeper)
    with innkeeper.simulated().hold(call):
        moving = asyncio.create_task(move(innkeeper, machine))
        await eventually(lambda: innkeeper.simulated().is_holding())
        before = volumes(innkeeper)
        await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
        for _ in range(2):
            await innkeeper.region.components.services.reconciler.sweep()
        assert await innkeeper.discrepancies() == []
        assert volumes(innkeeper) == before
    await moving
    assert written(innkeeper) == [("local", "-0"), ("nvme", "-2")]


async def test_a_disk_of_another_machine_keeps_its_name(innkeeper: Deployment) -> None:
    """So it is kept again when the machine that has it now is deleted."""
    machine, other = await composed(innkeeper), await composed(innkeeper, "db")
    await innkeeper.post(path(machine), op="remove_disk", disk="sdb", keep="true")
    (kept,) = await innkeeper.get("kept-disks/")
    await innkeeper.post(path(other), op="attach_disk", kept_disk=kept["id"])
    await innkeeper.post(path(machine), op="add_disk", size=1)
    await move(innkeeper, other, "sdc")
    assert ("nvme", "-3", 5) in volumes(innkeeper)
    await innkeeper.post(path(machine), op="add_disk", size=2)
    assert ("local", "-4", 2) in volumes(innkeeper)
    await innkeeper.delete(path(other))
    (again,) = await innkeeper.get("kept-disks/")
    assert (again["hostname"], again["storage_pool_name"]) == ("db", "nvme")
    assert again["volume"].rpartition("-")[0] == kept["volume"].rpartition("-")[0]


async def test_pending_growth_moves_too(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await innkeeper.post(path(machine), op="grow_disk", disk="sdb", size=9)
    await innkeeper.post(path(machine), op="power_off")
    await move(innkeeper, machine)
    assert await claimed(innkeeper, machine) == {"local": 8, "nvme": 9}
    await innkeeper.post(path(machine), op="power_on")
    assert ("nvme", "-2", 9) in volumes(innkeeper)
    assert (await claimed(innkeeper, machine), await innkeeper.discrepancies()) == ({"local": 8, "nvme": 9}, [])


async def test_quotas_count_a_disk_that_moves_once(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await innkeeper.post("quotas/", pool="default", storage=13)
    await move(innkeeper, machine)
    await move(innkeeper, machine, pool="local")
    assert await claimed(innkeeper, machine) == CLAIMED


async def test_only_its_owner_moves_the_disk_of_an_owned_machine(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await innkeeper.post("machines/", op="allocate", name="web")
    joe = await as_user(innkeeper, "joe")
    assert (await rejection(move(joe, machine))).details["status"] == 403
    assert await pools_of(innkeeper, machine) == HERE


async def test_without_its_guest_nothing_is_deleted_and_an_event_says_what_is_left(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    write(innkeeper)
    with innkeeper.simulated().hold("use copy of disk"):
        moving = asyncio.create_task(move(innkeeper, machine))
        await eventually(lambda: innkeeper.simulated().is_holding())
        for table in ("disk", "nic", "nic_settings", "guest"):
            rows(innkeeper, f"delete from {table}")  # noqa: S608  # of the tuple
    assert "web" in str(await rejection(moving))
    assert written(innkeeper) == [("local", "-0"), ("local", "-1"), ("nvme", "-2")]
    assert await claimed(innkeeper, machine) == CLAIMED
    (event,) = await events(innkeeper, "machine_disk_moved")
    assert "-2 (5.0 GB in nvme of sim), a volume of data of web, was not deleted" in event

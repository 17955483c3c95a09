"""Disks of machines: added, grown, removed, kept, and attached to another machine; claimed from the beginning."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import Busy, WrongState
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.users import as_user
from tests.support.rejections import outcomes, rejection

GB = 10**9


async def composed(innkeeper: Deployment, name: str = "web", **fields: Any) -> Any:
    if "sim" not in innkeeper.hosts:
        await innkeeper.add_simulated(cores=16, memory_mib=32768)
    return await innkeeper.compose(
        innkeeper.hosts["sim"], hostname=name, cores=1, memory=1024, storage="root:8", **fields
    )


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def add(innkeeper: Deployment, machine: Any, size: float = 5, **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="add_disk", size=size, **fields)


async def remove(innkeeper: Deployment, machine: Any, **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="remove_disk", disk="sdb", **fields)


async def sizes(innkeeper: Deployment, machine: Any) -> list[tuple[str, int]]:
    disks = await innkeeper.get(f"nodes/{machine['system_id']}/blockdevices/")
    return [(disk["name"], disk["size"]) for disk in disks]


def volumes(innkeeper: Deployment) -> list[tuple[str, int]]:
    """Ends of the names of all volumes of the host, and their sizes in GB."""
    found = rows(innkeeper, "select name, size_bytes from volume order by name")
    return [(name[-2:], size // GB) for name, size in found]


def attached(innkeeper: Deployment, guest: str) -> int:
    users = rows(innkeeper, "select guest.name from disk join guest using (guest_id)")
    return [name for (name,) in users].count(guest)


async def claimed_gb(innkeeper: Deployment, machine: Any) -> float:
    found = await innkeeper.fetch(
        "select sum(amount)::bigint as amount from claim c join machine m on m.id = c.machine_id"
        " where m.system_id = $1 and resource = 'storage_bytes'",
        machine["system_id"],
    )
    return float(found[0]["amount"] / GB)


async def events(innkeeper: Deployment, kind: str) -> list[str]:
    return [event.message for event in await innkeeper.region.components.services.events.list() if event.kind == kind]


@pytest.mark.slow
async def test_a_machine_gets_another_disk_off_or_on(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    grown = await add(innkeeper, machine, 5, tags="fast")
    (_, disk) = grown["blockdevice_set"]
    assert (disk["name"], disk["size"], disk["tags"], disk["storage_pool_name"]) == ("sdb", 5 * GB, ["fast"], "default")
    await innkeeper.post(path(machine), op="power_on")
    await add(innkeeper, machine, 0.5)
    assert await sizes(innkeeper, machine) == [("sda", 8 * GB), ("sdb", 5 * GB), ("sdc", GB // 2)]
    assert attached(innkeeper, "web") == 3
    assert [text.partition(":")[0] for text in await events(innkeeper, "machine_disk_added")] == [
        "web on sim has disk2", "web on sim has disk1",
    ]  # fmt: skip
    assert await claimed_gb(innkeeper, machine) == 13.5
    assert await innkeeper.discrepancies() == []
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await claimed_gb(innkeeper, machine) == 13.5
    assert await innkeeper.discrepancies() == []


async def test_a_disk_that_does_not_fit_is_refused_in_numbers(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    for dry_run in ("true", "false"):
        error = await rejection(add(innkeeper, machine, 100_000, dry_run=dry_run))
        assert error.details["status"] == 503
        assert "needs a disk of 100000.0 GB, 92.0 of 100.0 GB free" in str(error)
    error = await rejection(add(innkeeper, machine, pool="none"))
    assert "the host has default" in str(error)
    assert await sizes(innkeeper, machine) == [("sda", 8 * GB)]
    assert await claimed_gb(innkeeper, machine) == 8


async def test_a_dry_run_changes_nothing(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await add(innkeeper, machine)
    before = await innkeeper.fetch("select count(*) from operation")
    plan = await add(innkeeper, machine, 5, dry_run="true")
    assert plan["effects"][0] == "web gets an empty disk of 5.0 GB in the storage pool default of sim, now."
    await innkeeper.post(path(machine), op="grow_disk", disk="sdb", size=7, dry_run="true")
    plan = await remove(innkeeper, machine, dry_run="true")
    assert (plan["confirm"], plan["effects"][1]) == (
        "name",
        "disk1 (5.0 GB in default) and all data on it are deleted.",
    )
    plan = await remove(innkeeper, machine, dry_run="true", keep="true")
    assert plan["confirm"] == "yes"
    assert await innkeeper.fetch("select count(*) from operation") == before
    assert await sizes(innkeeper, machine) == [("sda", 8 * GB), ("sdb", 5 * GB)]
    assert await claimed_gb(innkeeper, machine) == 13


async def test_the_disk_of_a_machine_that_is_off_grows_at_once(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await innkeeper.post(path(machine), op="grow_disk", disk="sda", size=12)
    assert await sizes(innkeeper, machine) == [("sda", 12 * GB)]
    assert volumes(innkeeper) == [("-0", 12)]
    assert await claimed_gb(innkeeper, machine) == 12
    assert await innkeeper.discrepancies() == []
    for size in (12, 11):
        (refused,) = await outcomes([innkeeper.post(path(machine), op="grow_disk", disk="sda", size=size)])
        assert refused == "400: size: root of web has 12.0 GB (12000000000 bytes). A disk can only grow."


async def test_what_a_running_disk_cannot_grow_now_is_pending(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await innkeeper.post(path(machine), op="grow_disk", disk="sda", size=12)
    assert volumes(innkeeper) == [("-0", 8)]
    assert await claimed_gb(innkeeper, machine) == 12
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await claimed_gb(innkeeper, machine) == 12
    assert await innkeeper.discrepancies() == []
    await innkeeper.post(path(machine), op="power_cycle")
    assert volumes(innkeeper) == [("-0", 12)]
    assert (await sizes(innkeeper, machine), await claimed_gb(innkeeper, machine)) == ([("sda", 12 * GB)], 12)
    assert await innkeeper.discrepancies() == []


async def test_a_disk_that_grew_on_the_host_ends_what_is_pending(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await innkeeper.post(path(machine), op="grow_disk", disk="sda", size=12)
    rows(innkeeper, "update volume set size_bytes = ?", 15 * GB)
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert (await sizes(innkeeper, machine), await claimed_gb(innkeeper, machine)) == ([("sda", 15 * GB)], 15)
    await innkeeper.post(path(machine), op="power_cycle")
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert (await sizes(innkeeper, machine), await claimed_gb(innkeeper, machine)) == ([("sda", 15 * GB)], 15)
    assert volumes(innkeeper) == [("-0", 15)]
    assert await innkeeper.discrepancies() == []


async def test_the_present_size_cancels_growth_that_is_pending(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await innkeeper.post(path(machine), op="grow_disk", disk="sda", size=12)
    await innkeeper.post(path(machine), op="grow_disk", disk="sda", size=10)
    assert await claimed_gb(innkeeper, machine) == 10
    await innkeeper.post(path(machine), op="grow_disk", disk="sda", size=8)
    assert await claimed_gb(innkeeper, machine) == 8
    await innkeeper.post(path(machine), op="power_cycle")
    assert volumes(innkeeper) == [("-0", 8)]


async def test_a_removed_disk_is_deleted_and_its_space_is_free(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await add(innkeeper, machine)
    await remove(innkeeper, machine)
    assert volumes(innkeeper) == [("-0", 8)]
    assert (await sizes(innkeeper, machine), await claimed_gb(innkeeper, machine)) == ([("sda", 8 * GB)], 8)
    assert await innkeeper.get("kept-disks/") == []
    assert await innkeeper.discrepancies() == []
    error = await rejection(innkeeper.post(path(machine), op="remove_disk", disk="sda"))
    assert error.details["status"] == 409
    assert "the first disk" in str(error)


async def test_a_kept_disk_moves_to_another_machine(innkeeper: Deployment) -> None:
    machine, other = await composed(innkeeper), await composed(innkeeper, "db")
    await add(innkeeper, machine, 5, tags="fast")
    await remove(innkeeper, machine, keep="true")
    (kept,) = await innkeeper.get("kept-disks/")
    assert (kept["hostname"], kept["size"], kept["tags"], kept["vm_host"]) == ("web", 5 * GB, ["fast"], "sim")
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert (await innkeeper.get(f"kept-disks/{kept['id']}/"))["is_listed"]
    assert await innkeeper.discrepancies() == []
    await innkeeper.post(path(other), op="attach_disk", kept_disk=kept["id"])
    assert await sizes(innkeeper, other) == [("sda", 8 * GB), ("sdb", 5 * GB)]
    assert (await claimed_gb(innkeeper, machine), await claimed_gb(innkeeper, other)) == (8, 13)
    assert await innkeeper.get("kept-disks/") == []
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await claimed_gb(innkeeper, other) == 13
    assert await innkeeper.discrepancies() == []


async def test_an_attached_disk_outlives_the_machine_that_has_it(innkeeper: Deployment) -> None:
    machine, other = await composed(innkeeper), await composed(innkeeper, "db")
    await add(innkeeper, machine)
    await remove(innkeeper, machine, keep="true")
    (kept,) = await innkeeper.get("kept-disks/")
    await innkeeper.post(path(other), op="attach_disk", kept_disk=kept["id"])
    await innkeeper.delete(path(machine))
    await innkeeper.delete(path(other))
    assert [size for _, size in volumes(innkeeper)] == [5]
    (again,) = await innkeeper.get("kept-disks/")
    assert (again["hostname"], again["volume"]) == ("db", kept["volume"])
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await innkeeper.discrepancies() == []
    await innkeeper.delete(f"kept-disks/{again['id']}/")
    assert volumes(innkeeper) == []
    assert await innkeeper.get("kept-disks/") == []


async def test_a_new_disk_never_gets_the_name_of_a_kept_one(innkeeper: Deployment) -> None:
    machine, other = await composed(innkeeper), await composed(innkeeper, "db")
    await add(innkeeper, machine, 5)
    await remove(innkeeper, machine, keep="true")
    await add(innkeeper, machine, 6)
    (kept,) = await innkeeper.get("kept-disks/")
    await innkeeper.post(path(other), op="attach_disk", kept_disk=kept["id"])
    await innkeeper.post(path(machine), op="remove_disk", disk="sdc")
    await add(innkeeper, machine, 7)
    assert attached(innkeeper, "web") == attached(innkeeper, "db") == 2
    assert sorted(size for _, size in volumes(innkeeper)) == [5, 7, 8, 8]


async def test_what_fails_on_the_host_leaves_everything_as_it_was(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await composed(innkeeper, power_on="true")
    await add(innkeeper, machine)

    def refuse(*_: object, **__: object) -> None:
        raise WrongState("the guest uses it")

    for function, request in (
        ("_attach", add(innkeeper, machine, 3)),
        ("_detach", remove(innkeeper, machine)),
        ("_grow", innkeeper.post(path(machine), op="grow_disk", disk="sdb", size=9)),
    ):
        with monkeypatch.context() as refusing:
            refusing.setattr(f"rackd.drivers.simulated.disks.disk_changes.{function}", refuse)
            error = await rejection(request)
        assert "the guest uses it" in str(error)
        assert await sizes(innkeeper, machine) == [("sda", 8 * GB), ("sdb", 5 * GB)]
        assert await claimed_gb(innkeeper, machine) == 13
        assert await innkeeper.discrepancies() == []
    assert volumes(innkeeper) == [("-0", 8), ("-1", 5)]


async def test_a_volume_that_was_there_before_is_never_deleted(innkeeper: Deployment) -> None:
    """Such as one that was made since the last refresh, or before the database was restored."""
    machine = await composed(innkeeper)
    ((root, size, installation, uuid),) = rows(
        innkeeper, "select name, size_bytes, installation_id, machine_id from volume"
    )
    other = f"{root.removesuffix('-0')}-1"
    rows(
        innkeeper, "insert into volume values ('default', ?, ?, ?, ?)", other, 2 * GB, installation, uuid
    )  # fmt: skip
    error = await rejection(add(innkeeper, machine, 5))
    assert "a volume" in str(error)
    assert volumes(innkeeper) == [("-0", size // GB), ("-1", 2)]
    assert (await sizes(innkeeper, machine), await claimed_gb(innkeeper, machine)) == ([("sda", 8 * GB)], 8)
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    await add(innkeeper, machine, 5)
    assert volumes(innkeeper) == [("-0", 8), ("-1", 2), ("-2", 5)]


async def test_two_requests_at_once_never_exceed_the_storage_pool(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=32768, pools="default:40")
    machines = [await composed(innkeeper, name) for name in ("a", "b", "c")]
    answers = await asyncio.gather(*(add(innkeeper, one, 9) for one in machines), return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in answers) == 1
    (pool,) = await innkeeper.fetch("select claimed_bytes, total_bytes from storage_pool")
    assert pool["claimed_bytes"] <= pool["total_bytes"]


async def test_only_its_owner_may_use_the_disk_of_an_owned_machine(innkeeper: Deployment) -> None:
    machine, other = await composed(innkeeper), await composed(innkeeper, "db")
    await innkeeper.post("machines/", op="allocate", name="web")
    await add(innkeeper, machine)
    await remove(innkeeper, machine, keep="true")
    (kept,) = await innkeeper.get("kept-disks/")
    assert kept["owner"] == "admin"
    joe = await as_user(innkeeper, "joe")
    for request in (
        joe.post(path(other), op="attach_disk", kept_disk=kept["id"]),
        joe.delete(f"kept-disks/{kept['id']}/"),
        add(joe, machine),
    ):
        assert (await rejection(request)).details["status"] == 403
    assert len(await innkeeper.get("kept-disks/")) == 1


async def test_kept_disks_count_for_the_quota_of_who_had_them(innkeeper: Deployment) -> None:
    machine, other = await composed(innkeeper), await composed(innkeeper, "db")
    await innkeeper.post("quotas/", pool="default", storage=30)
    await add(innkeeper, machine, 10)
    await remove(innkeeper, machine, keep="true")
    (refused,) = await outcomes([add(innkeeper, machine, 5)])
    assert "26.0 GB" in refused or "26 GB" in refused, refused
    (kept,) = await innkeeper.get("kept-disks/")
    await innkeeper.post(path(other), op="attach_disk", kept_disk=kept["id"])
    await innkeeper.post(path(other), op="remove_disk", disk="sdb")
    await add(innkeeper, machine, 5)


async def test_block_devices_of_maas_are_created_grown_and_deleted(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    devices = f"nodes/{machine['system_id']}/blockdevices/"
    created = await innkeeper.post(devices, name="data", size=5 * GB, block_size=512, model="m", serial="s")
    assert (created["name"], created["size"]) == ("sdb", 5 * GB)
    disk = f"{devices}{created['id']}/"
    assert (await innkeeper.put(disk, name="sdb", size=5 * GB, block_size=512))["size"] == 5 * GB
    assert (await innkeeper.put(disk, size=6 * GB))["size"] == 6 * GB
    assert (await rejection(innkeeper.put(disk, size=7 * GB, serial="other"))).details["status"] == 400
    await innkeeper.delete(disk)
    assert await sizes(innkeeper, machine) == [("sda", 8 * GB)]
    assert volumes(innkeeper) == [("-0", 8)]


async def test_another_operation_on_the_machine_is_waited_for_by_the_user(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    answers = await asyncio.gather(
        *(add(innkeeper, machine, 1 + number) for number in range(3)), return_exceptions=True
    )
    refused = [one for one in answers if isinstance(one, BaseException)]
    assert all(isinstance(one, Busy) or "operation" in str(one) for one in refused), refused
    assert attached(innkeeper, "web") == 1 + 3 - len(refused)
    assert await claimed_gb(innkeeper, machine) * GB == sum(size for _, size in await sizes(innkeeper, machine))

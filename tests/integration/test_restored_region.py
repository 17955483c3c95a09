"""A region is lost and restored from a backup, while its hosts went on: 200 VMs, and 100 changes after the backup."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from regiond.backup.target import Target
from regiond.backup_commands import back_up, restore
from tests.administrators import API_KEY_FILE
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.waiting import eventually

PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105
HOSTS, VMS, CHANGES = 4, 200, 100
AT_ONCE = 16


async def all_of(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """Results of the work, of which AT_ONCE runs at a time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(each: Awaitable[Any]) -> Any:
        async with turns:
            return await each

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(each)) for each in work]
    return [task.result() for task in tasks]


async def back_up_to(innkeeper: Deployment, path: Path) -> None:
    target = Target.open(path)
    settings = innkeeper.in_process.settings
    await back_up(evolve(settings, database=innkeeper.dsn), b"", target.file, PASSPHRASE, {}, images=False)
    target.commit()


async def restore_to(innkeeper: Deployment, dsn: str, path: Path) -> None:
    """The database and the state folder are lost; a region with the same addresses starts on what was saved."""
    process = innkeeper.in_process
    await process.stop_region()
    process.dsn = dsn
    key = (process.settings.state / API_KEY_FILE).read_text()
    process.settings = evolve(process.settings, database=dsn, state=innkeeper.folder / "restored")
    with path.open("rb") as file:
        await restore(process.settings, file, PASSPHRASE, {})
    (process.settings.state / API_KEY_FILE).write_text(key)  # of the caller, who has it elsewhere
    await process.start_region()
    await eventually(innkeeper.is_linked)


def guests_of(innkeeper: Deployment) -> dict[str, Any]:
    """Names, power states and last changes of all guests, as the hosts have them."""
    found: dict[str, Any] = {}
    for host in range(HOSTS):
        simulated = innkeeper.simulated(f"s{host}")
        found |= {name: (host, guest) for name, guest in simulated.guests().items()}
    return found


async def states_of(innkeeper: Deployment) -> dict[str, str]:
    return {row["hostname"]: row["state"] for row in await innkeeper.fetch("select hostname, state from machine")}


async def unowned(innkeeper: Deployment) -> set[str]:
    """The guests that have a marker of this installation and no machine."""
    rows = await innkeeper.fetch("select name from guest where machine_id is null and marker_machine is not null")
    return {row["name"] for row in rows}


@pytest.mark.slow
async def test_a_region_that_lost_everything_touches_no_guest(
    tmp_path: Path, database_url: str, empty_database_url: str
) -> None:
    async with deployed(tmp_path, database_url, killable=True) as innkeeper:
        await innkeeper.start_rack()
        hosts = [
            await innkeeper.add_simulated(f"s{n}", cores=256, memory_mib=2**20, storage_gb=1000) for n in range(HOSTS)
        ]
        ids = [host["id"] for host in hosts]

        def compose(name: str, number: int) -> Awaitable[Any]:
            host_id, hostname = ids[number % HOSTS], f"{name}-{number}"
            return innkeeper.compose(host_id, hostname=hostname, cores=1, memory=1024, storage="root:1")

        made = await all_of(compose("vm", number) for number in range(VMS))
        system_ids = [one["system_id"] for one in made]
        during = asyncio.gather(*(compose("during", number) for number in range(8)))
        await back_up_to(innkeeper, tmp_path / "backup")
        await during

        later, gone, started = CHANGES * 4 // 10, CHANGES * 3 // 10, CHANGES * 3 // 10
        await all_of(compose("later", number) for number in range(later))
        await all_of(innkeeper.delete(f"machines/{one}/") for one in system_ids[:gone])
        await all_of(innkeeper.post(f"machines/{one}/", op="power_on") for one in system_ids[gone : gone + started])
        ((lost,),) = await innkeeper.fetch("select max(id) from operation")
        before = guests_of(innkeeper)
        assert len(before) == VMS + 8 + later - gone
        changed = {host: innkeeper.simulated(f"s{host}").newest_change() for host in range(HOSTS)}

        await restore_to(innkeeper, empty_database_url, tmp_path / "backup")
        for host_id in ids:
            assert await innkeeper.refreshed(host_id)
        states = await states_of(innkeeper)
        assert {states[f"vm-{number}"] for number in range(gone)} == {"missing"}
        assert {states[f"vm-{number}"] for number in range(gone, VMS)} == {"ready"}
        assert {f"later-{number}" for number in range(later)} <= await unowned(innkeeper)
        known = {name for name in states if name.startswith("during-")}
        assert {f"during-{number}" for number in range(8)} - known <= await unowned(innkeeper)
        assert {states[name] for name in known} <= {"ready"}
        assert guests_of(innkeeper) == before, "no guest was touched"
        assert {host: innkeeper.simulated(f"s{host}").newest_change() for host in range(HOSTS)} == changed

        new = await innkeeper.compose(ids[0], hostname="new", cores=1, memory=1024)
        assert new["system_id"] not in system_ids
        (first,) = await innkeeper.fetch("select min(id) as id from operation where system_id = $1", new["system_id"])
        assert first["id"] > lost

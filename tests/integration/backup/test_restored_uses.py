"""After a restore of the database, nobody gets, opens or overwrites a machine before its host shows whose it is."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

import pytest

from common.errors import InnkeeperError
from common.values import PowerState
from regiond.hosts.discovery.restored import await_refreshes
from regiond.machines.core.use_evidence import doubt_uses
from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_stock import path, status, stock
from tests.integration.support.discrepancies import only
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.postgresql.database import execute

_BACKUP = "create table backup_machine as select * from machine; create table backup_time as select now() as at"
# As a restore finds them: the rows of the backup, nothing of later.
_RESTORE = """
    delete from deployment;
    update machine m
       set state = b.state, owner_id = b.owner_id, is_stock = b.is_stock, generation = b.generation,
           composed_by_id = b.composed_by_id, power_state = b.power_state, agent_name = b.agent_name
      from backup_machine b where b.id = m.id;
"""


async def back_up(innkeeper: Deployment) -> datetime:
    await execute(innkeeper.region.components.database, _BACKUP)
    return datetime.now(UTC)


async def restore(innkeeper: Deployment, at: datetime) -> None:
    """Restores the rows of machines, and moves the database on as far as a running region allows."""
    database = innkeeper.region.components.database
    await execute(database, _RESTORE)
    async with database.transaction() as db:
        await doubt_uses(db, at)
        await await_refreshes(db, "from a backup")


async def refresh(innkeeper: Deployment) -> None:
    for host_id in innkeeper.hosts.values():
        await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")


async def deployed_by(user: Deployment, machine: Any) -> None:
    operation_id = await user.begin(path(machine), op="deploy", distro_series="custom/test")
    assert await user.ended(operation_id) == "succeeded"


async def unproven(innkeeper: Deployment) -> dict[str, tuple[str, str]]:
    found = await innkeeper.get("discrepancies/")
    return {one["name"]: (one["repair_policy"], one["found"]) for one in found if one["kind"] == "use_unproven"}


async def refused(work: Awaitable[Any]) -> None:
    with pytest.raises(InnkeeperError, match="The database was restored, and vm may have been used since"):
        await work


async def test_a_machine_that_was_deployed_since_the_backup_is_nobodys(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper, hostname="vm")
    await add_image(innkeeper)
    ann, ben = await as_user(innkeeper, "ann"), await as_user(innkeeper, "ben")
    at = await back_up(innkeeper)
    await deployed_by(ann, machine)
    await restore(innkeeper, at)
    await refresh(innkeeper)
    shown = await innkeeper.get(path(machine))
    assert (shown["status_name"], shown["owner"], shown["stock"]) == ("Ready", None, False)
    assert shown["unproven_since"] is not None
    for work in (
        ben.post("machines/", op="allocate", system_id=machine["system_id"]),
        innkeeper.post("machines/", op="allocate", system_id=machine["system_id"]),
        ben.post(path(machine), op="deploy", distro_series="custom/test"),
        innkeeper.post(path(machine), op="deploy", distro_series="custom/test"),
        innkeeper.delete(path(machine)),
        ben.post(path(machine), op="power_off"),
    ):
        await refused(work)
    other = await ben.post("machines/", op="allocate", cpu_count=1, mem=1024)
    assert other["system_id"] != machine["system_id"]
    policy, found = (await unproven(innkeeper))["vm"]
    assert (policy, found.partition(":")[0]) == ("approval", "its host shows that it was used since")
    await approve(innkeeper)
    after = await innkeeper.get(path(machine))
    assert (after["unproven_since"], after["stock"], after["made_by"]) == (None, False, None)
    assert await status(ben.post(path(machine), op="power_off")) == 403
    assert (await innkeeper.post("machines/", op="allocate", name="vm"))["owner"] == "admin"


async def approve(innkeeper: Deployment) -> None:
    for one in await innkeeper.get("discrepancies/"):
        if one["kind"] == "use_unproven":
            await innkeeper.post(f"discrepancies/{one['id']}/", op="approve", etag=one["etag"], found=one["found"])


async def test_what_nobody_used_since_is_as_before_at_once(innkeeper: Deployment) -> None:
    free, used = await stock(innkeeper, hostname="free"), await stock(innkeeper, hostname="used")
    ann = await as_user(innkeeper, "ann")
    await ann.post("machines/", op="allocate", name="used")
    await ann.post(path(used), op="power_on")
    at = await back_up(innkeeper)
    await restore(innkeeper, at)
    assert await status(ann.post(path(used), op="power_off")) == 403
    assert (await innkeeper.get(path(free)))["stock"] is False
    await refresh(innkeeper)
    assert await unproven(innkeeper) == {}
    assert (await innkeeper.get(path(free)))["stock"] is True
    await ann.post(path(used), op="power_off", stop_mode="hard")
    assert (await ann.post("machines/", op="allocate", name="free"))["owner"] == "ann"


async def test_a_host_that_was_not_refreshed_since_proves_nothing(innkeeper: Deployment) -> None:
    """Its guests in the database are those of the backup, also after a refresh that has failed."""
    machine = await stock(innkeeper, hostname="vm")
    await add_image(innkeeper)
    ann = await as_user(innkeeper, "ann")
    at = await back_up(innkeeper)
    await deployed_by(ann, machine)
    await restore(innkeeper, at)
    await execute(innkeeper.region.components.database, "update guest set generation = 0")
    with innkeeper.simulated().down():
        with pytest.raises(InnkeeperError):
            await refresh(innkeeper)
        assert await unproven(innkeeper) == {}
    await refresh(innkeeper)
    assert (await unproven(innkeeper))["vm"][0] == "approval"


async def test_a_former_owner_gets_nothing_of_the_next_one(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper, hostname="vm")
    await add_image(innkeeper)
    ann, ben = await as_user(innkeeper, "ann"), await as_user(innkeeper, "ben")
    await deployed_by(ann, machine)
    at = await back_up(innkeeper)
    await ann.post(path(machine), op="release")
    await deployed_by(ben, machine)
    await restore(innkeeper, at)
    await refresh(innkeeper)
    assert (await ann.get(path(machine)))["owner"] == "ann", "she sees that the ledger has it as hers"
    for work in (
        ann.get(path(machine), op="console_log"),
        ann.post(path(machine), op="power_off"),
        ann.post(path(machine), op="clone"),
        ann.post(path(machine), op="release"),
        ann.post(path(machine), op="rebuild"),
    ):
        await refused(work)
    found = await only(innkeeper, "use_unproven")
    assert "belongs to ann, who can open it again" in found["remedy"]
    await innkeeper.post(path(machine), op="forget")
    await innkeeper.post(f"vm-hosts/{innkeeper.hosts['sim']}/", op="adopt", guests="vm", owner="ben")
    (adopted,) = await innkeeper.get("machines/")
    assert (adopted["owner"], adopted["unproven_since"]) == ("ben", None)


async def test_a_person_confirms_that_the_owner_is_the_same(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper, hostname="vm")
    ann = await as_user(innkeeper, "ann")
    await ann.post("machines/", op="allocate", name="vm")
    at = await back_up(innkeeper)
    await ann.post(path(machine), op="power_on")
    await ann.post(path(machine), op="power_off", stop_mode="hard")
    await restore(innkeeper, at)
    await refresh(innkeeper)
    await refused(ann.post(path(machine), op="power_on"))
    assert (await unproven(innkeeper))["vm"][0] == "approval"
    await approve(innkeeper)
    await ann.post(path(machine), op="power_on")
    assert (await ann.get(path(machine)))["power_state"] == "on"


async def test_a_backup_without_generations_proves_nothing(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper, hostname="vm")
    at = await back_up(innkeeper)
    await execute(innkeeper.region.components.database, "update schema_migration set applied_at = now()")
    await restore(innkeeper, at)
    await refresh(innkeeper)
    assert "a release that did not record uses" in (await unproven(innkeeper))["vm"][1]
    await approve(innkeeper)
    assert (await innkeeper.get(path(machine)))["stock"] is False


async def test_stock_that_runs_after_the_restore_is_in_use(innkeeper: Deployment) -> None:
    """Such as one that somebody started on the host, of which nothing is written there."""
    machine = await stock(innkeeper, hostname="vm")
    at = await back_up(innkeeper)
    await restore(innkeeper, at)
    innkeeper.simulated().set_power("vm", PowerState.ON)
    await refresh(innkeeper)
    shown = await innkeeper.get(path(machine))
    assert (shown["stock"], shown["made_by"], shown["unproven_since"]) == (False, "admin", None)


async def test_removing_and_adding_a_host_proves_nothing(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper, hostname="vm")
    ann = await as_user(innkeeper, "ann")
    await ann.post("machines/", op="allocate", name="vm")
    at = await back_up(innkeeper)
    await ann.post(path(machine), op="power_on")
    await restore(innkeeper, at)
    await refresh(innkeeper)
    await innkeeper.delete(f"vm-hosts/{innkeeper.hosts['sim']}/")
    await innkeeper.add_simulated(cores=8, memory_mib=16384)
    await refused(ann.post(path(machine), op="power_off"))
    assert (await unproven(innkeeper))["vm"][0] == "approval"


async def test_the_refresh_says_which_machines_wait_for_a_person(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper, hostname="vm")
    at = await back_up(innkeeper)
    await innkeeper.post(path(machine), op="power_on")
    await restore(innkeeper, at)
    await refresh(innkeeper)
    answer = await innkeeper.api.send("GET", "events/", query=[("op", "query"), ("id", machine["system_id"])])
    (event,) = [one for one in answer.json()["events"] if one["kind"] == "machine_use_unproven"]
    assert event["description"].endswith("innkeeper region check")
    await unproven(innkeeper)
    listed = await innkeeper.get("attention/")
    assert [one["name"] for one in listed if one["kind"] == "discrepancy"] == ["vm"]


async def test_stock_that_was_started_on_its_host_and_used_since_is_not_stock(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper, hostname="vm")
    at = await back_up(innkeeper)
    innkeeper.simulated().set_power("vm", PowerState.ON)
    await refresh(innkeeper)
    await innkeeper.post(path(machine), op="power_cycle")
    await innkeeper.post(path(machine), op="power_off", stop_mode="hard")
    await restore(innkeeper, at)
    await refresh(innkeeper)
    assert (await unproven(innkeeper))["vm"][0] == "approval"
    assert (await innkeeper.get(path(machine)))["stock"] is False

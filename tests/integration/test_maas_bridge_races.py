"""Ends of registrations in a MAAS beside something else: a machine that returns, and a MAAS or a host that is down."""

from __future__ import annotations

from regiond.maas.service import open_record_deletion
from tests.deployment.deployment import Deployment
from tests.integration.maas_bridge import is_, maas, path, registered, values
from tests.maas_api.bridge_server import RecordedMaas
from tests.waiting import eventually

__all__ = ["maas"]


async def test_a_machine_that_returns_while_its_record_is_to_be_deleted_keeps_it(
    innkeeper: Deployment, maas: RecordedMaas
) -> None:
    """As when it was restored from what was read before the deletion was approved."""
    machine, record = await registered(innkeeper, maas)
    database = innkeeper.region.components.database
    await innkeeper.fetch("update maas_registration set machine_id = null")
    async with database.transaction() as returning:
        await returning.execute("update maas_registration set machine_id = (select id from machine)")
        async with database.transaction() as db:
            id_ = await open_record_deletion(db, await db.fetchval("select id from maas_registration"))
        waits = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%maas_registration%'"
        )
        await eventually(lambda: is_(innkeeper, waits, 1))
    assert id_ is not None
    assert await innkeeper.ended(id_) == "succeeded"
    after = await innkeeper.get(path(machine))
    assert (after["maas_system_id"], list(maas.machines.all)) == (record.system_id, [record.system_id])
    noted = "select count(*) from operation_log where message = 'the machine is back and stays registered'"
    assert await values(innkeeper, noted) == [1]

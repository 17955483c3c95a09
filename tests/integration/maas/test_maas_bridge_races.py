"""Ends of registrations in a MAAS beside something else: a machine that returns, and a MAAS or a host that is down."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import HostUnreachable
from regiond.maas.bridge import steps
from regiond.maas.reconciliation.repair import open_record_deletion
from regiond.machines.hardware.boot.order_calls import set_order
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.maas_bridge import DISK_FIRST, is_, maas, path, registered, values
from tests.maas_api.bridge_server import RecordedMaas
from tests.support.waiting import eventually

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
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'maas_registration'"
        await eventually(lambda: is_(innkeeper, waits, 1))
    assert id_ is not None
    assert await innkeeper.ended(id_) == "succeeded"
    after = await innkeeper.get(path(machine))
    assert (after["maas_system_id"], list(maas.machines.all)) == (record.system_id, [record.system_id])
    noted = "select count(*) from operation_log where message = 'the machine is back and stays registered'"
    assert await values(innkeeper, noted) == [1]


async def test_an_order_that_was_restored_is_known_after_the_host_has_gone_too(
    innkeeper: Deployment, maas: RecordedMaas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host answers the first attempt, and is down like the MAAS from then on."""
    machine, _ = await registered(innkeeper, maas)
    maas.is_down = True
    asked: list[int] = []

    async def only_once(*args: Any) -> Any:
        asked.append(1)
        if len(asked) > 1:
            raise HostUnreachable("The host does not answer.")
        return await set_order(*args)

    monkeypatch.setattr(steps, "set_order", only_once)
    begun = await innkeeper.begin(path(machine), op="unregister_from_maas")
    failed = "select count(*) from operation where kind = 'unregister_from_maas' and failures > 0"
    await eventually(lambda: is_(innkeeper, failed, 1))
    await innkeeper.fetch("update operation set failures = 5 where is_open")
    maas.is_down = False
    assert await innkeeper.ended(begun) == "succeeded"
    assert len(asked) == 1
    assert (await innkeeper.get(path(machine)))["boot_order"] == DISK_FIRST
    said = "select message from event where kind = 'machine_unregistered'"
    assert (await values(innkeeper, said))[0].endswith("; it boots from disk, then network again")

"""Reads which disks of machines stay on their host when their guests are deleted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from common.removal_facts import NO_REMOVAL_FACTS
from regiond.db.pool import Db
from regiond.machines.remains.disk_fates import RemainingDisks, remaining_disks
from regiond.machines.remains.kept_disk_store import lacked_disks
from regiond.machines.remains.removal_fact_store import facts_of
from regiond.machines.values.model import MachineView

_OUTSIDE_POOLS = """
    select g.machine_id, f.device
      from guest g, jsonb_to_recordset(g.disks) f (device text, pool_id text)
     where g.machine_id = any($1::integer[])
       and not exists (select from storage_pool p where p.server_id = g.server_id and p.pool_key = f.pool_id)
     order by g.machine_id, f.device
"""


async def read_remaining(
    db: Db, machines: Collection[MachineView], installation_id: UUID
) -> Mapping[int, RemainingDisks]:
    """Returns the disks of each machine by what becomes of them, by machine id. Those in no storage pool, which the
    ledger lacks, are as the last refresh listed them.
    """
    ids = [machine.id for machine in machines]
    lacked = await lacked_disks(db, ids)
    facts = await facts_of(db, ids)
    outside: dict[int, list[str]] = {}
    for row in await db.fetch(_OUTSIDE_POOLS, ids):
        outside.setdefault(row["machine_id"], []).append(row["device"])
    return {
        machine.id: remaining_disks(
            machine, installation_id, outside.get(machine.id, ()), lacked, facts.get(machine.id, NO_REMOVAL_FACTS)
        )
        for machine in machines
    }

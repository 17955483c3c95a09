"""SQL that selects the machines that may have a discrepancy."""

from __future__ import annotations

import asyncpg

from regiond.db.pool import Db, of_row
from regiond.machines.values.states import MachineState
from regiond.reconciler.machines.detection import GuestFacts, MachineFacts

# Narrows 50,000 machines to those in which detection may find a discrepancy.
_MACHINES = """
    with held as (
        select machine_id,
               coalesce(sum(amount) filter (where resource = 'cores'), 0)::bigint as cores,
               coalesce(sum(amount) filter (where resource = 'memory_mib'), 0)::bigint as memory_mib,
               bool_or(resource = 'huge_pages') as huge_pages
          from claim where machine_id is not null and ($1::integer is null or machine_id = $1) group by machine_id
    )
    select m.id, m.system_id, m.hostname, m.state, m.cores, m.memory_mib, m.pinned_core_ids, m.missing_since,
           m.pending_cores, m.pending_memory_mib,
           h.id as host_id, h.name as host_name, h.cluster_id is not null as clustered,
           coalesce(held.cores, 0) as claimed_cores, coalesce(held.memory_mib, 0) as claimed_memory_mib,
           coalesce(held.huge_pages, false) as claims_huge_pages,
           g.name as guest_name, g.cores as guest_cores, g.memory_mib as guest_memory_mib,
           g.pinned_core_ids as guest_pins,
           g.server_id = h.server_id and (h.driver <> 'lxd' or g.project = h.project) as on_its_host,
           (select gh.name from vm_host gh
             where gh.server_id = g.server_id and (gh.driver <> 'lxd' or gh.project = g.project)
             order by gh.id limit 1) as guest_host
      from machine m
      join vm_host h on h.id = m.host_id
      left join guest g on g.machine_id = m.id
      left join held on held.machine_id = m.id
     where (m.state in ('missing', 'composing', 'adopting', 'releasing', 'deleting') or g.id is null
            or (h.driver = 'lxd' and g.project <> h.project)
            or (g.server_id, g.cores, g.memory_mib, g.pinned_core_ids)
               is distinct from (h.server_id, m.cores, m.memory_mib, m.pinned_core_ids)
            or held.cores is distinct from greatest(m.cores, m.pending_cores)
            or (not coalesce(held.huge_pages, false)
                and held.memory_mib is distinct from greatest(m.memory_mib, m.pending_memory_mib)))
       and not exists (select from operation o
                        where o.is_open
                          and (o.machine_id = m.id or (o.kind = 'remove_host' and o.host_id = h.id)))
       and ($1::integer is null or m.id = $1)
     order by m.id
"""


async def suspect_machines(db: Db, machine_id: int | None = None) -> tuple[MachineFacts, ...]:
    """Returns all machines that may have a discrepancy, or only the one with `machine_id`."""
    return tuple(_machine(row) for row in await db.fetch(_MACHINES, machine_id))


def _machine(row: asyncpg.Record) -> MachineFacts:
    state, pinned = MachineState(row["state"]), frozenset(row["pinned_core_ids"])
    return of_row(MachineFacts, row, state=state, pinned_core_ids=pinned, guest=_guest(row))


def _guest(row: asyncpg.Record) -> GuestFacts | None:
    if row["guest_name"] is None:
        return None
    return GuestFacts(
        name=row["guest_name"],
        host_name=row["guest_host"],
        on_its_host=row["on_its_host"],
        cores=row["guest_cores"],
        memory_mib=row["guest_memory_mib"],
        pinned_core_ids=frozenset(row["guest_pins"]),
    )

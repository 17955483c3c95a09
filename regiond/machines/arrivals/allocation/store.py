"""SQL that lists the ready machines for an allocate request."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.db.pool import Db
from regiond.machines.core.affinity.service import ReadyMachine
from regiond.machines.values.requests import AllocateRequest
from regiond.placement.requirements import HostFilter
from regiond.requests.caller import Caller

# Cheapest first: a core costs as much as a GiB. Machines with an open operation, or on a host that is being removed or
# in maintenance, are not available. A machine in use is only for a request that names it, of whoever made it or an
# administrator.
_READY = """
    select m.id as machine_id, m.system_id, h.id as host_id, h.name as host_name, h.server_id,
           m.pool_id
      from machine m join vm_host h on h.id = m.host_id
      join zone z on z.id = m.zone_id join resource_pool p on p.id = m.pool_id
      left join server s on s.id = h.server_id
     where m.state = 'ready' and m.owner_id is null and h.state <> 'removing' and h.maintenance_since is null
       and not m.as_found and not m.locked and m.unproven_since is null
       and (m.is_stock and not exists (select from machine_disk d where d.machine_id = m.id and d.origin = 'foreign')
            or (($1::text[] is not null or $2::text is not null) and ($19 or m.composed_by_id = $20)))
       and ($1::text[] is null or m.system_id = any($1)) and ($2::text is null or m.hostname = $2)
       and ($3::integer is null or coalesce(m.pending_cores, m.cores) >= $3)
       and ($4::bigint is null or coalesce(m.pending_memory_mib, m.memory_mib) >= $4)
       and ($5::text[] = '{}' or m.architecture = any($5)) and m.architecture <> all($6::text[])
       and m.tags @> $7::text[] and not m.tags && $8::text[]
       and ($9::text[] = '{}' or z.name = any($9)) and z.name <> all($10::text[])
       and ($11::text[] = '{}' or p.name = any($11)) and p.name <> all($12::text[])
       and ($13::integer[] = '{}' or h.id = any($13)) and h.id <> all($14::integer[])
       and ($15::text[] = '{}' or h.driver = any($15)) and h.driver <> all($16::text[])
       and ($17::integer[] is null or m.pool_id = any($17))
       and ($18::integer is null or s.cpu_speed_mhz is null or s.cpu_speed_mhz >= $18)
       and not exists (select 1 from operation o
                        where o.machine_id = m.id and o.is_open)
     order by coalesce(m.pending_cores, m.cores) + coalesce(m.pending_memory_mib, m.memory_mib) / 1024.0, m.id
"""

_REPORTED_ARCHITECTURES = "select distinct architecture from server where architecture is not null"


async def reported_architectures(db: Db) -> frozenset[str]:
    return frozenset(row["architecture"] for row in await db.fetch(_REPORTED_ARCHITECTURES))


async def list_ready(
    db: Db, caller: Caller, request: AllocateRequest, hosts: HostFilter, *, system_ids: Sequence[str] | None = None
) -> list[ReadyMachine]:
    """Returns the ready machines that satisfy all constraints except those on devices and groups, cheapest first.

    They are stock, or belong to the caller and the request names them. With `system_ids`, it may name any of these.
    """
    named = [request.system_id] if system_ids is None and request.system_id is not None else system_ids
    rows = await db.fetch(
        _READY, named, request.name, request.cores, request.memory_mib, hosts.architectures,
        hosts.not_architectures, hosts.tags, hosts.not_tags, hosts.zones, hosts.not_zones, hosts.pools,
        hosts.not_pools, sorted(hosts.host_ids), sorted(hosts.not_host_ids), hosts.drivers, hosts.not_drivers,
        None if hosts.within_pool_ids is None else sorted(hosts.within_pool_ids),
        request.cpu_speed_mhz, caller.is_admin, caller.account_id,
    )  # fmt: skip
    return [ReadyMachine(**dict(row)) for row in rows]

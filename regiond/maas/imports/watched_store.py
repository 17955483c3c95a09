"""SQL of the hosts of a watched import, for its plans and its operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from common.maas.inventory import Origin
from regiond.db.pool import Db, of_row
from regiond.maas.imports.model import PARALLEL_RUN

_TAKEN = "select source_id from maas_watched_host where import_id = $1 and taken_at is not null"
_IS_WATCHED = "select watched from maas_import where id = $1"
_ADD = """
    insert into maas_watched_host (host_id, import_id, source_id)
    select host_id, $1, source_id from unnest($2::integer[], $3::text[]) as found(host_id, source_id)
     where exists (select from vm_host h where h.id = host_id)
        on conflict (host_id) do nothing
"""
# An import that was deleted has taken them over: machines that came from MAAS are here, and Innkeeper may act on them.
_ADD_TAKEN = """
    insert into maas_watched_host (host_id, import_id, source_id, taken_at)
    select h.id, $1, found.source_id, min(m.created_at)
      from unnest($2::integer[], $3::text[]) as found(host_id, source_id)
      join vm_host h on h.id = found.host_id and h.maintenance_holder is distinct from $5
      join machine m on m.host_id = h.id and (m.imported or m.system_id = any($4::text[]))
     where not exists (select from operation o where o.machine_id = m.id and o.kind = 'forget' and o.is_open)
     group by h.id, found.source_id
        on conflict (host_id) do nothing
"""
_TAKE = "update maas_watched_host set taken_at = clock_timestamp() where host_id = $1 and taken_at is null"
_LOCK_WATCHED = "select pg_advisory_xact_lock(hashtextextended('watched imports', 0))"
# Addresses are those that the client uses, without the API's path. A source without the UUID has an empty one.
_SAME_MAAS = """
    select i.id, i.origin->>'label' as label, i.watched,
           case when exists (select from operation o where o.id = i.operation_id and o.is_open)
                then i.operation_id end as operation_id
      from maas_import i
     where i.id <> $1
       and (i.origin->>'uuid' = nullif($2, '')
            or i.origin->>'kind' = 'api' and $3 = 'api' and lower(i.origin->>'label') = lower($4))
     order by i.watched desc, operation_id nulls last, i.id limit 1
"""
_ELSEWHERE = """
    select w.host_id, i.origin->>'label' as label
      from maas_watched_host w join maas_import i on i.id = w.import_id
     where w.import_id <> $1 and w.taken_at is null
"""
_NODES = """
    select h.id as host_id, core::integer as core, (node->>'node_id')::integer as node_id
      from vm_host h join server s on s.id = h.server_id, jsonb_array_elements(s.numa_nodes) as node,
           jsonb_array_elements_text(node->'core_ids') as core
     where h.id = any($1::integer[])
"""
_FORGET_DIFFERENCES = "delete from maas_difference where host_id = $1"


@frozen(kw_only=True)
class SameMaas:
    """Another import of the same MAAS, and the open operation that carries it out."""

    id: int
    label: str
    watched: bool
    operation_id: int | None


async def lock_watched(db: Db) -> None:
    """Excludes others that begin to watch, or to import, until the transaction ends."""
    await db.execute(_LOCK_WATCHED)


async def same_maas(db: Db, origin: Origin, *, import_id: int = 0) -> SameMaas | None:
    """Returns the import besides this one of the same MAAS, by its address or UUID: one that watches it, if any."""
    row = await db.fetchrow(_SAME_MAAS, import_id, origin.uuid, origin.kind.value, origin.label)
    return None if row is None else of_row(SameMaas, row)


async def watched_elsewhere(db: Db, import_id: int) -> Mapping[int, str]:
    """Returns the addresses of the MAAS that are in charge of hosts, by another import, by host id."""
    return {row["host_id"]: row["label"] for row in await db.fetch(_ELSEWHERE, import_id)}


async def nodes_of_cores(db: Db, host_ids: Iterable[int]) -> Mapping[int, Mapping[int, int]]:
    """Returns the NUMA node of each core of these hosts, by host id and core id."""
    found: dict[int, dict[int, int]] = {}
    for row in await db.fetch(_NODES, list(host_ids)):
        found.setdefault(row["host_id"], {})[row["core"]] = row["node_id"]
    return found


async def is_watched(db: Db, import_id: int) -> bool:
    return bool(await db.fetchval(_IS_WATCHED, import_id))


async def taken_hosts(db: Db, import_id: int) -> frozenset[str] | None:
    """Returns the ids in MAAS of hosts that were taken over; None for an import that is not watched."""
    if not await is_watched(db, import_id):
        return None
    return frozenset(row["source_id"] for row in await db.fetch(_TAKEN, import_id))


async def add_hosts(db: Db, import_id: int, hosts: Mapping[str, int]) -> None:
    """Adds the hosts, by their ids in MAAS; one that another import watches stays there. Idempotent."""
    await db.execute(_ADD, import_id, list(hosts.values()), list(hosts))


async def add_taken(db: Db, import_id: int, hosts: Mapping[str, int], system_ids: Iterable[str]) -> None:
    """Adds those of the hosts, by their ids in MAAS, that were taken over before. `system_ids` are MAAS's machines."""
    await db.execute(_ADD_TAKEN, import_id, list(hosts.values()), list(hosts), list(system_ids), PARALLEL_RUN)


async def take(db: Db, host_id: int) -> None:
    """Records that Innkeeper is in charge of the host. Idempotent."""
    await db.execute(_TAKE, host_id)
    await db.execute(_FORGET_DIFFERENCES, host_id)

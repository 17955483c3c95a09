"""SQL of the hosts of a watched import, for its plans and its operations."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.db.pool import Db

_TAKEN = "select source_id from maas_watched_host where import_id = $1 and taken_at is not null"
_IS_WATCHED = "select watched from maas_import where id = $1"
_ADD = """
    insert into maas_watched_host (host_id, import_id, source_id)
    select host_id, $1, source_id from unnest($2::integer[], $3::text[]) as found(host_id, source_id)
     where exists (select from vm_host h where h.id = host_id)
        on conflict (host_id) do nothing
"""
_TAKE = "update maas_watched_host set taken_at = clock_timestamp() where host_id = $1 and taken_at is null"
_FORGET_DIFFERENCES = "delete from maas_difference where host_id = $1"


async def taken_hosts(db: Db, import_id: int) -> frozenset[str] | None:
    """Returns the ids in MAAS of hosts that were taken over; None for an import that is not watched."""
    if not await db.fetchval(_IS_WATCHED, import_id):
        return None
    return frozenset(row["source_id"] for row in await db.fetch(_TAKEN, import_id))


async def add_hosts(db: Db, import_id: int, hosts: Mapping[str, int]) -> None:
    """Adds the hosts, by their ids in MAAS; one that another import watches stays there. Idempotent."""
    await db.execute(_ADD, import_id, list(hosts.values()), list(hosts))


async def take(db: Db, host_id: int) -> None:
    """Records that Innkeeper is in charge of the host. Idempotent."""
    await db.execute(_TAKE, host_id)
    await db.execute(_FORGET_DIFFERENCES, host_id)

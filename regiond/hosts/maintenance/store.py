"""SQL that puts hosts into maintenance and ends it."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from regiond.db.pool import Db
from regiond.hosts.maintenance.model import Maintenance

# A compose that has claimed capacity holds a share lock on the host: its transaction ends before the maintenance
# begins, so a list of guests that is read afterwards has its machine.
_LOCK = """
    select id, name, maintenance_since, maintenance_by, maintenance_reason, maintenance_holder from vm_host
     where id = any($1::integer[]) order by id for update
"""
# A person who gives another reason has made it their own. A holder changes nothing of what it has not begun.
_SET = """
    update vm_host
       set maintenance_since = coalesce(maintenance_since, now()), maintenance_by = coalesce(maintenance_by, $2),
           maintenance_reason = coalesce($3, maintenance_reason, ''),
           maintenance_holder = case when maintenance_since is null then $4
                                     when $4::text is null and $3::text is not null then null
                                     else maintenance_holder end
     where id = $1 and ($4::text is null or maintenance_since is null or maintenance_holder = $4)
    returning maintenance_since, maintenance_by, maintenance_reason, maintenance_holder
"""
_END = """
    update vm_host
       set maintenance_since = null, maintenance_by = null, maintenance_reason = null, maintenance_holder = null
     where id = $1
"""


@frozen(kw_only=True)
class HostToMaintain:
    id: int
    name: str
    maintenance: Maintenance | None


async def lock_hosts(db: Db, host_ids: Iterable[int]) -> tuple[HostToMaintain, ...]:
    """Locks the hosts that exist and returns them by id. Waits for composes that have claimed capacity on them."""
    rows = await db.fetch(_LOCK, sorted({*host_ids}))
    return tuple(HostToMaintain(id=row["id"], name=row["name"], maintenance=Maintenance.of_row(row)) for row in rows)


async def begin(db: Db, host_id: int, *, by: str, reason: str | None, holder: str | None = None) -> Maintenance | None:
    """Begins the maintenance and returns it; None for an unknown host, or if it is not that of the `holder`.

    If the maintenance has begun already, only its reason changes, and with `reason` None not even that.
    """
    row = await db.fetchrow(_SET, host_id, by, reason, holder)
    return None if row is None else Maintenance.of_row(row)


async def end(db: Db, host_id: int) -> None:
    """Ends the maintenance. Idempotent."""
    await db.execute(_END, host_id)

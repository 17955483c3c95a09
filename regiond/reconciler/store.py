"""SQL for discrepancies: a row exists while a discrepancy is open, and for 90 days after that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
from attrs import asdict

from common.errors import Busy, NotFound
from regiond.db.pool import Db, of_row
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, OpenDiscrepancy, RepairPolicy

# `xmax` is 0 in a row that this statement inserted.
_RECORD = """
    insert into discrepancy as d (kind, key, host_id, host_name, system_id, name, found, expected, remedy,
                                  repair_policy, ours, data_at_risk, since, sweeps)
    select seen.*, $2
      from jsonb_to_recordset($1::jsonb) seen (
           kind text, key text, host_id integer, host_name text, system_id text, name text, found text, expected text,
           remedy text, repair_policy text, ours boolean, data_at_risk boolean, since timestamptz)
    on conflict (kind, key) where resolved_at is null do update
       set host_id = excluded.host_id, host_name = excluded.host_name, system_id = excluded.system_id,
           name = excluded.name, found = excluded.found, expected = excluded.expected, remedy = excluded.remedy,
           repair_policy = excluded.repair_policy, ours = excluded.ours, data_at_risk = excluded.data_at_risk,
           since = excluded.since, last_seen_at = now(),
           sweeps = case when d.repair_policy = excluded.repair_policy then d.sweeps + $2 else $2 end
    returning d.*, d.xmax = 0 as is_new
"""
_RESOLVE = """
    update discrepancy set resolved_at = now() where resolved_at is null and id <> all($1::bigint[]) returning *
"""
# The condition on the age ignores a second sweep, by another region at almost the same time.
_DUE = """
    with due as (
    select d.id, d.kind = any($2::text[]) as at_host,
           row_number() over (partition by d.kind order by d.id) as number
      from discrepancy d
      left join (select kind, key, count(*) as times, max(repaired_at) as last from discrepancy
                  where repaired_at is not null group by kind, key) before using (kind, key)
     where d.resolved_at is null and d.repair_policy = 'automatic' and d.sweeps >= 2
       and d.first_seen_at <= now() - make_interval(secs => $1)
       and (d.kind <> all($2::text[])
            or coalesce(before.last + least(interval '5 minutes' * 2 ^ least(before.times, 10), interval '1 day'),
                        '-infinity') < now()
               and exists (select from rack_reach x join rack_link l on l.rack_id = x.rack_id
                             join rack r on r.id = x.rack_id
                             join vm_host h on h.id = x.host_id and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                             join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
                            where x.host_id = d.host_id and x.reaches)))
    select id from due where not at_host or number <= $3 order by id
"""
_READ = "select * from discrepancy where id = $1 and (resolved_at is null or repaired_at is not null)"
_LOCK = "select * from discrepancy where id = $1 and resolved_at is null for update"
_LOCK_TIMEOUT = "select set_config('lock_timeout', $1, true)"
_RECORD_REPAIR = (
    "update discrepancy set resolved_at = now(), repaired_at = now(), repaired = $2 where id = $1 returning *"
)
_RECENT_REPAIRS = """
    select * from discrepancy where repaired_at > now() - $1::interval order by repaired_at desc, id desc limit 1000
"""
_PRUNE = "delete from discrepancy where resolved_at < now() - interval '90 days'"
_USE_SNAPSHOT = "set transaction isolation level repeatable read"
_SWEEP_LOCK = "select pg_try_advisory_xact_lock(hashtextextended('reconciler', 0))"
_HOSTS = """
    select distinct on (server_id) server_id, id, name from vm_host where server_id is not null order by server_id, id
"""
RECENT = timedelta(days=1)
LOCK_TIMEOUT_S = 5.0


async def use_snapshot(db: Db) -> None:
    """Makes the transaction read one snapshot; must be its first statement. Concurrent writes then cause conflicts."""
    await db.execute(_USE_SNAPSHOT)


async def try_sweep_lock(db: Db) -> bool:
    """Takes the lock of sweeps until the transaction ends; returns False if another region is sweeping."""
    return await db.fetchval(_SWEEP_LOCK) is True


async def hosts_by_server(db: Db) -> dict[int, tuple[int, str]]:
    """Returns id and name of the oldest host of each server, by the server's id."""
    return {row["server_id"]: (row["id"], row["name"]) for row in await db.fetch(_HOSTS)}


async def record(
    db: Db, found: Sequence[Discrepancy], *, is_sweep: bool = True
) -> tuple[list[OpenDiscrepancy], list[OpenDiscrepancy]]:
    """Stores the discrepancies; returns all, and the new ones. `is_sweep`: this counts for automatic repair."""
    if not found:
        return [], []
    values = [{**asdict(one), "since": one.since.isoformat() if one.since else None} for one in found]
    rows = sorted(await db.fetch(_RECORD, values, int(is_sweep)), key=lambda row: int(row["id"]))
    return [_open_discrepancy(row) for row in rows], [_open_discrepancy(row) for row in rows if row["is_new"]]


async def resolve(db: Db, current: Iterable[OpenDiscrepancy]) -> list[Discrepancy]:
    """Closes all stored discrepancies except `current`, and returns them. Deletes those closed 90 days ago."""
    rows = await db.fetch(_RESOLVE, [one.id for one in current])
    await db.execute(_PRUNE)
    return [_discrepancy(row) for row in rows]


async def due(db: Db, older_than_s: float, *, at_host: Iterable[DiscrepancyKind], max_at_host: int) -> list[int]:
    """Returns the ids of automatically repaired discrepancies that two consecutive sweeps found, oldest first.

    For the kinds `at_host`, a connected rack must reach the host, and at most `max_at_host` of each are returned. A
    discrepancy that is found again after a repair, because the host did not execute it, waits for ten minutes, then
    twice as long each time, up to a day.
    """
    rows = await db.fetch(_DUE, older_than_s, [kind.value for kind in at_host], max_at_host)
    return [row["id"] for row in rows]


async def read(db: Db, discrepancy_id: int) -> OpenDiscrepancy:
    """Returns the discrepancy as the last sweep found it, or as it was repaired.

    Raises NotFound if it is unknown or disappeared without a repair.
    """
    row = await db.fetchrow(_READ, discrepancy_id)
    if row is None:
        raise NotFound(f"Discrepancy {discrepancy_id} is resolved or unknown.", discrepancy=discrepancy_id)
    return _open_discrepancy(row)


async def lock(db: Db, discrepancy_id: int) -> OpenDiscrepancy | None:
    """Locks the discrepancy against a concurrent repair, and returns it; None if it is resolved or repaired."""
    row = await db.fetchrow(_LOCK, discrepancy_id)
    return None if row is None else _open_discrepancy(row)


@asynccontextmanager
async def lock_timeout(db: Db, timeout_s: float = LOCK_TIMEOUT_S) -> AsyncIterator[None]:
    """Limits the wait for locks in the block. Raises Busy after `timeout_s`; the caller must then roll back."""
    await db.execute(_LOCK_TIMEOUT, f"{round(timeout_s * 1000)}ms")
    try:
        yield
    except asyncpg.LockNotAvailableError as error:
        raise Busy("Another transaction changes the same rows, so nothing was repaired. Try again.") from error


async def record_repair(db: Db, discrepancy_id: int, repaired: str) -> OpenDiscrepancy:
    """Closes the discrepancy. A sweep that finds it again stores a new one."""
    (row,) = await db.fetch(_RECORD_REPAIR, discrepancy_id, repaired)
    return _open_discrepancy(row)


async def recent_repairs(db: Db, within: timedelta = RECENT) -> tuple[OpenDiscrepancy, ...]:
    """Returns automatic and approved repairs, the latest first, at most 1,000."""
    return tuple(_open_discrepancy(row) for row in await db.fetch(_RECENT_REPAIRS, within))


def _open_discrepancy(row: asyncpg.Record) -> OpenDiscrepancy:
    return of_row(OpenDiscrepancy, row, discrepancy=_discrepancy(row))


def _discrepancy(row: asyncpg.Record) -> Discrepancy:
    policy = RepairPolicy(row["repair_policy"])
    return of_row(Discrepancy, row, kind=DiscrepancyKind(row["kind"]), repair_policy=policy)

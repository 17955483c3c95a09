"""The rows of differences: one as long as a difference stands, kept for a time when it has gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
from attrs import asdict, fields

from common.errors import Busy
from regiond.reconciler.model import By, Difference, Kind, Standing

if TYPE_CHECKING:
    from regiond.db.pool import Db

# `xmax` is 0 in a row that this statement has made.
_SEE = """
    insert into difference as d (kind, key, host_id, host_name, system_id, name, found, expected, remedy, mended_by,
                                 ours, data_at_risk, since, sweeps)
    select seen.*, $2
      from jsonb_to_recordset($1::jsonb) seen (
           kind text, key text, host_id integer, host_name text, system_id text, name text, found text, expected text,
           remedy text, mended_by text, ours boolean, data_at_risk boolean, since timestamptz)
    on conflict (kind, key) where resolved_at is null do update
       set host_id = excluded.host_id, host_name = excluded.host_name, system_id = excluded.system_id,
           name = excluded.name, found = excluded.found, expected = excluded.expected, remedy = excluded.remedy,
           mended_by = excluded.mended_by, ours = excluded.ours, data_at_risk = excluded.data_at_risk,
           since = excluded.since, last_seen_at = now(),
           sweeps = case when d.mended_by = excluded.mended_by then d.sweeps + $2 else $2 end
    returning d.*, d.xmax = 0 as is_new
"""
_RESOLVE = """
    update difference set resolved_at = now() where resolved_at is null and id <> all($1::bigint[]) returning *
"""
# What two regions see within a moment is seen once.
_DUE = """
    select d.id from difference d
      left join (select kind, key, count(*) as times, max(mended_at) as last from difference
                  where mended_at is not null group by kind, key) before using (kind, key)
     where d.resolved_at is null and d.mended_by = 'itself' and d.sweeps >= 2
       and d.first_seen_at <= now() - make_interval(secs => $1)
       and (d.kind <> all($2::text[])
            or coalesce(before.last + least(interval '5 minutes' * 2 ^ least(before.times, 10), interval '1 day'),
                        '-infinity') < now()
               and exists (select from rack_reach x join rack_link l on l.rack_id = x.rack_id
                             join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
                            where x.host_id = d.host_id and x.reaches))
     order by d.id
"""
_KEPT = "select * from difference where id = $1 and (resolved_at is null or mended_at is not null)"
_LOCK = "select * from difference where id = $1 and resolved_at is null for update"
_WAIT_SHORTLY = "set local lock_timeout = '5s'"
_MENDED = "update difference set resolved_at = now(), mended_at = now(), mended = $2 where id = $1 returning *"
_MENDED_LATELY = """
    select * from difference where mended_at > now() - $1::interval order by mended_at desc, id desc limit 1000
"""
_PRUNE = "delete from difference where resolved_at < now() - interval '90 days'"
_ONE_SNAPSHOT = "set transaction isolation level repeatable read"
_ONLY_ONE = "select pg_try_advisory_xact_lock(hashtextextended('reconciler', 0))"
_COLUMNS = [one.name for one in fields(Difference) if one.name not in ("kind", "mended_by")]


async def see_one_moment(db: Db) -> None:
    """All that the transaction reads is of one moment: as its first statement. Conflicts of writers are its price."""
    await db.execute(_ONE_SNAPSHOT)


async def alone(db: Db) -> bool:
    """Whether no other region sweeps by itself right now; until the transaction ends."""
    return await db.fetchval(_ONLY_ONE) is True


async def see(db: Db, seen: Sequence[Difference], *, is_sweep: bool = True) -> tuple[list[Standing], list[Standing]]:
    """Keep what is there now: all of it, and of that what is new. `is_sweep`: not only because somebody asks."""
    if not seen:
        return [], []
    plain = [{**asdict(one), "since": one.since.isoformat() if one.since else None} for one in seen]
    rows = sorted(await db.fetch(_SEE, plain, int(is_sweep)), key=lambda row: int(row["id"]))
    return [_standing(row) for row in rows], [_standing(row) for row in rows if row["is_new"]]


async def resolve(db: Db, standing: Iterable[Standing]) -> list[Difference]:
    """Those that were there before and are no more; long gone ones go."""
    rows = await db.fetch(_RESOLVE, [one.id for one in standing])
    await db.execute(_PRUNE)
    return [_difference(row) for row in rows]


async def due(db: Db, older_than_s: float, *, at_host: Iterable[Kind]) -> list[int]:
    """Ids of those that two sweeps in a row have seen and that are mended without asking anybody, oldest first.

    Of the kinds `at_host` only where a connected rack reaches the host, and one that is back after it was mended, since
    its host does not do it, waits for ten minutes, then for twice as long each time, up to a day.
    """
    return [row["id"] for row in await db.fetch(_DUE, older_than_s, [kind.value for kind in at_host])]


async def kept(db: Db, difference_id: int) -> tuple[Standing, ...]:
    """The one of this id, if it stands or was mended; those that went by themselves are no more."""
    return tuple(_standing(row) for row in await db.fetch(_KEPT, difference_id))


async def lock(db: Db, difference_id: int) -> Standing | None:
    """Nobody else mends it until the transaction ends. None when it is gone, or mended."""
    row = await db.fetchrow(_LOCK, difference_id)
    return None if row is None else _standing(row)


@asynccontextmanager
async def short_waits(db: Db) -> AsyncIterator[None]:
    """Raises Busy when a row is held by somebody else for five seconds; the transaction must then roll back."""
    await db.execute(_WAIT_SHORTLY)
    try:
        yield
    except asyncpg.LockNotAvailableError as error:
        raise Busy("Something else changes the same rows right now; nothing was mended. Try again.") from error


async def keep_mended(db: Db, difference_id: int, mended: str) -> Standing:
    """It stands no more. A sweep that finds it again tells it anew."""
    (row,) = await db.fetch(_MENDED, difference_id, mended)
    return _standing(row)


async def mended_within(db: Db, time: timedelta) -> tuple[Standing, ...]:
    """The latest first."""
    return tuple(_standing(row) for row in await db.fetch(_MENDED_LATELY, time))


def _standing(row: asyncpg.Record) -> Standing:
    return Standing(
        id=row["id"],
        difference=_difference(row),
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
        sweeps=row["sweeps"],
        mended_at=row["mended_at"],
        mended=row["mended"],
    )


def _difference(row: asyncpg.Record) -> Difference:
    told = {name: row[name] for name in _COLUMNS}
    return Difference(kind=Kind(row["kind"]), mended_by=By(row["mended_by"]), **told)

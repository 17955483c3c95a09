"""Reads the conditions that need attention, and writes since when amounts are above their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from regiond.attention.conditions import CONDITIONS
from regiond.attention.model import AttentionFilter, AttentionKind, AttentionLimits, Found, ObjectType
from regiond.db.pool import Db, Row, of_row
from regiond.requests.caller import Caller, seen_by

_VISIBLE = "($1::integer[] is null or c.seen_pool_id = any($1) or $2::integer = any(c.accounts))"
# Rows of a kind are numbered as they are shown: broken ones first, then the newest.
_READ = f"""
    select n.*, p.name as pool, z.name as zone
      from (
           select c.*, count(*) over kinds as of_kind, count(*) filter (where c.broken) over kinds as broken_of_kind,
                  row_number() over (kinds order by c.broken desc, c.since desc nulls last, c.name, c.object_id)
                    as position
             from ({CONDITIONS}) c
            where {_VISIBLE}
              and ($9::text[] = '{{}}' or c.kind = any($9))
              and ($10::text[] = '{{}}' or c.pool_id in (select id from resource_pool where name = any($10)))
              and ($11::text[] = '{{}}' or c.zone_id in (select id from zone where name = any($11)))
              and ($12::text is null or c.name ilike $12 or c.host_name ilike $12)
              and ($13::text is null or c.object_type = $13)
              and ($14::text is null or c.object_id = $14)
              and ($15::integer is null or c.host_id = $15)
              and (num_nonnulls($14, $15) > 0 or not c.facts ? 'covered')
           window kinds as (partition by c.kind)) n
      left join resource_pool p on p.id = n.pool_id
      left join zone z on z.id = n.zone_id
     where n.position between $16 and $17
     order by n.position
"""  # noqa: S608  # our own texts
_COUNT = f"""
    select c.kind, count(*) as number, count(*) filter (where c.broken) as broken
      from ({CONDITIONS}) c
     where {_VISIBLE} and not c.facts ? 'covered'
     group by c.kind
"""  # noqa: S608
_TRY_LOCK = "select pg_try_advisory_xact_lock(hashtextextended('attention', 0))"
_NOTE = """
    with found as (
        select * from unnest($1::text[], $2::text[], $3::timestamptz[]) f (kind, object, since)
    ), gone as (
        delete from attention_since a
         where not exists (select from found f where (f.kind, f.object) = (a.kind, a.object))
    )
    insert into attention_since (kind, object, since)
    select kind, object, coalesce(since, now()) from found on conflict do nothing
"""
_SINCE = "select object, since from attention_since where kind = $1"
_SPECIAL = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


@frozen(kw_only=True)
class FoundGroup:
    """The first conditions of a kind, and how many there are."""

    count: int
    broken: int
    found: tuple[Found, ...]


NOTHING = FoundGroup(count=0, broken=0, found=())


async def read(
    db: Db,
    wanted: AttentionFilter,
    limits: AttentionLimits,
    *,
    per_kind: int,
    offset: int = 0,
    caller: Caller | None = None,
) -> Mapping[AttentionKind, FoundGroup]:
    """Returns at most `per_kind` conditions of each kind, after `offset` of it, with one query."""
    rows = await db.fetch(
        _READ,
        *_parameters(limits, caller),
        [kind.value for kind in wanted.kinds],
        list(wanted.pools),
        list(wanted.zones),
        f"%{wanted.text.translate(_SPECIAL)}%" if wanted.text else None,
        None if wanted.object_type is None else wanted.object_type.value,
        wanted.object_id,
        wanted.host_id,
        offset + 1,
        offset + per_kind,
    )
    by_kind: dict[AttentionKind, list[Row]] = {}
    for row in rows:
        by_kind.setdefault(AttentionKind(row["kind"]), []).append(row)
    return {
        kind: FoundGroup(count=found[0]["of_kind"], broken=found[0]["broken_of_kind"], found=tuple(map(_found, found)))
        for kind, found in by_kind.items()
    }


async def count(
    db: Db, limits: AttentionLimits, *, caller: Caller | None = None
) -> Mapping[AttentionKind, tuple[int, int]]:
    """Returns the number of conditions of each kind, and how many of them are broken."""
    rows = await db.fetch(_COUNT, *_parameters(limits, caller))
    return {AttentionKind(row["kind"]): (row["number"], row["broken"]) for row in rows}


async def try_lock(db: Db) -> bool:
    """Returns whether the caller's transaction is the only one that may call `note`, until it ends."""
    locked: bool = await db.fetchval(_TRY_LOCK)
    return locked


async def note(db: Db, found: Sequence[Found]) -> None:
    """Records which objects are above their limit now, in the transaction that has the lock.

    An object that was recorded keeps its time; one that is no longer above its limit is forgotten. A shared storage
    pool that another of its members represents now keeps its time too: that is `since` of the condition.
    """
    await db.execute(
        _NOTE,
        [one.kind.value for one in found],
        [f"{one.object_type} {one.object_id}" for one in found],
        [one.since for one in found],
    )


async def since(db: Db, kind: AttentionKind) -> dict[str, datetime]:
    """Returns since when objects are above their limit, by type and id such as `quota 7`."""
    return {row["object"]: row["since"] for row in await db.fetch(_SINCE, kind.value)}


def _parameters(limits: AttentionLimits, caller: Caller | None) -> tuple[object, ...]:
    return (
        *seen_by(caller),
        limits.stale_after_s,
        float(limits.nearly_full_percent),
        limits.waiting_after_s,
        limits.certificate_days,
        limits.rack_certificate_days,
        limits.backup_within_hours,
    )


def _found(row: Row) -> Found:
    return of_row(Found, row, kind=AttentionKind(row["kind"]), object_type=ObjectType(row["object_type"]))

"""SQL of the audit trail. Rows are written and deleted by the functions of the database alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from regiond.audit.model import AuditAnswer, AuditEntry, AuditFilter, AuditRequest, AuditResult, ChainState, RawEntry
from regiond.db.pool import Db, Row

_APPEND = "select audit_append($1::text[])"
_PRUNE = "select audit_prune($1::interval, $2::integer)"
_CHAIN = "select head_id, head_hash, pruned_id, pruned_hash from audit_chain"
_RAW = """
    select id, at, content, previous_hash, hash, redacted_by from audit_entry where id > $1 order by id limit $2
"""
_CONTENTS = "select id, content from audit_entry where id = any($1::bigint[])"
_REDACTED_BY = "select id, redacted_by from audit_entry where id = any($1::bigint[])"
_MATCHING = """
      from audit_entry r
      left join lateral (select * from audit_entry where answers = r.id order by id limit 1) a on true
     where r.answers is null
       and ($1::text is null or r.username = $1)
       and ($2::text is null or r.action = $2)
       and ($3::text is null or r.object = $3 or r.object_name = $3 or starts_with(r.object, $3 || '/'))
       and ($4::text is null or coalesce(a.result, r.result, 'unknown') = $4)
       and ($5::timestamptz is null or r.at >= $5)
       and ($6::timestamptz is null or r.at < $6)
       and ($7::bigint is null or r.id < $7)
       and ($9::bigint is null or r.id > $9)
"""
_SELECT = (
    """
    select r.id, r.at, r.content, a.at as answered_at, a.content as answer,
           greatest(r.redacted_by, a.redacted_by) as redacted_by
"""
    + _MATCHING
)
_NEWEST_FIRST = _SELECT + " order by r.id desc limit $8"
_OLDEST_FIRST = _SELECT + " order by r.id limit $8"
_COUNT = f"select count(*) from (select {_MATCHING} limit $8) found"  # noqa: S608


async def append(db: Db, contents: Sequence[str]) -> int:
    """Appends entries and returns the id of the first. Holds a lock for the time of one statement."""
    first_id: int = await db.fetchval(_APPEND, contents)
    return first_id


async def prune(db: Db, age: timedelta, *, limit: int) -> int:
    """Deletes up to `limit` of the oldest entries that are older than `age`. Returns the number deleted."""
    deleted: int = await db.fetchval(_PRUNE, age, limit)
    return deleted


async def chain_state(db: Db) -> ChainState | None:
    row = await db.fetchrow(_CHAIN)
    return None if row is None else ChainState(**row)


async def raw_entries(db: Db, *, after_id: int, limit: int) -> tuple[RawEntry, ...]:
    """Oldest first."""
    return tuple(RawEntry(**row) for row in await db.fetch(_RAW, after_id, limit))


async def contents(db: Db, ids: Iterable[int]) -> Mapping[int, str]:
    """The contents of these entries, by id."""
    return {row["id"]: row["content"] for row in await db.fetch(_CONTENTS, list(ids))}


async def redacted_by(db: Db, ids: Iterable[int]) -> Mapping[int, int | None]:
    """Returns the entries that record the latest redactions of these entries, by the ids of these."""
    return {row["id"]: row["redacted_by"] for row in await db.fetch(_REDACTED_BY, list(ids))}


async def select(db: Db, wanted: AuditFilter) -> tuple[AuditEntry, ...]:
    """Newest first by default."""
    rows = await db.fetch(_OLDEST_FIRST if wanted.oldest_first else _NEWEST_FIRST, *_parameters(wanted))
    return tuple(_entry(row) for row in rows)


async def count(db: Db, wanted: AuditFilter) -> int:
    """Returns the number of entries that match, at most `limit`."""
    found: int = await db.fetchval(_COUNT, *_parameters(wanted))
    return found


def _parameters(wanted: AuditFilter) -> tuple[Any, ...]:
    return (
        wanted.username,
        wanted.action,
        wanted.object,
        wanted.result,
        wanted.since,
        wanted.until,
        wanted.before_id,
        wanted.limit,
        wanted.after_id,
    )


def _entry(row: Row) -> AuditEntry:
    content = json.loads(row["content"])
    answer = content if row["answer"] is None else json.loads(row["answer"])
    return AuditEntry(
        id=row["id"],
        at=row["at"],
        answered_at=row["answered_at"] or (row["at"] if "result" in content else None),
        redacted_by=row["redacted_by"],
        request=AuditRequest(
            action=content.get("action", ""),
            username=content.get("username"),
            credential=content.get("credential", ""),
            address=content.get("address", ""),
            request_id=content.get("request_id", ""),
            object=content.get("object", ""),
            object_name=content.get("object_name", ""),
            fields={**content.get("fields", {}), **answer.get("fields", {})},
            not_recorded=content.get("not_recorded", 0),
        ),
        answer=AuditAnswer(
            result=AuditResult(answer.get("result", AuditResult.UNKNOWN)),
            status=answer.get("status"),
            error=answer.get("error"),
            operation_id=answer.get("operation_id"),
            fields=answer.get("fields", {}),
        ),
    )

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
       and ($3::text is null or r.object = $3 or r.object_name = $3 or starts_with(r.object, $3 || '/')
            or (starts_with(r.object, 'machines/') and split_part(r.object, '/', 2) = any($10::text[]))
            or exists (select from operation o
                        where o.system_id = any($10)
                          and o.id = (coalesce(a.content, r.content)::jsonb ->> 'operation_id')::bigint)
            or exists (select from jsonb_each_text((r.content::jsonb -> 'fields')
                                                   || coalesce(a.content::jsonb -> 'fields', '{}')) f
                        where f.key in ('hostname', 'machines', 'system_id')
                          and string_to_array(replace(f.value, ' ', ''), ',') && ($10 || $11::text[])))
       and ($4::text is null or coalesce(a.result, r.result, 'unknown') = $4)
       and ($5::timestamptz is null or r.at >= $5)
       and ($6::timestamptz is null or r.at < $6)
       and ($7::bigint is null or r.id < $7)
       and ($9::bigint is null or r.id > $9)
"""
# What a machine was called: of one that is gone, operations and the trail itself say it.
_MACHINE_IDS = """
    select system_id as found from machine where $1 in (system_id, hostname)
    union select system_id from detached_machine where $1 in (system_id, hostname)
    union select system_id from operation where system_id is not null and $1 in (system_id, hostname)
    union select split_part(object, '/', 2) from audit_entry
           where answers is null and starts_with(object, 'machines/')
             and $1 in (split_part(object, '/', 2), object_name)
    limit 100
"""
_MACHINE_NAMES = """
    select hostname as found from machine where system_id = any($1::text[])
    union select hostname from operation where system_id = any($1) and hostname is not null
    union select object_name from audit_entry
           where answers is null and starts_with(object, 'machines/') and split_part(object, '/', 2) = any($1)
             and object_name <> ''
    limit 100
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
    parameters = (*_parameters(wanted), *await _machines_called(db, wanted.object))
    rows = await db.fetch(_OLDEST_FIRST if wanted.oldest_first else _NEWEST_FIRST, *parameters)
    return tuple(_entry(row) for row in rows)


async def count(db: Db, wanted: AuditFilter) -> int:
    """Returns the number of entries that match, at most `limit`."""
    found: int = await db.fetchval(_COUNT, *_parameters(wanted), *await _machines_called(db, wanted.object))
    return found


async def _machines_called(db: Db, text: str | None) -> tuple[list[str], list[str]]:
    """Returns the ids and the names of machines that are or were called so, by name, id or path; none: empty."""
    if text is None:
        return [], []
    called = text.removeprefix("machines/")
    ids = [row["found"] for row in await db.fetch(_MACHINE_IDS, called)]
    names = [row["found"] for row in await db.fetch(_MACHINE_NAMES, ids)] if ids else []
    return ids, names


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

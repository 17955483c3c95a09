"""SQL of redactions. The database replaces the values, so that nothing else of an entry can change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from common.errors import InvalidRequest, NotFound, WrongState
from regiond.audit.model import Redaction, recorded_text
from regiond.audit.redaction import OldRequest, Target
from regiond.db.pool import Db
from regiond.requests.caller import Caller

_REDACT = "select audit_redact($1::jsonb, $2::jsonb)"
_ACTIONS = "select id, action from audit_entry where id = any($1::bigint[]) and answers is null"
_REQUESTS = """
    select id, content from audit_entry
     where id > $1 and answers is null and action not ilike 'audit.%' and ($2::bigint[] is null or id = any($2))
     order by id limit $3
"""
_ANSWERS = "select answers, content from audit_entry where answers = any($1::bigint[])"
_ACCOUNTS = "select username from account where username = any($1::text[])"


async def check(db: Db, wanted: Redaction) -> None:
    """Raises NotFound for an id that is not that of a request, InvalidRequest for one that stays."""
    if not wanted.entry_ids:
        return
    actions = {row["id"]: row["action"] for row in await db.fetch(_ACTIONS, list(wanted.entry_ids))}
    for one in wanted.entry_ids:
        if one not in actions:
            raise NotFound(f"The audit trail has no request {one}.")
        if (actions[one] or "").lower().startswith("audit."):
            raise InvalidRequest.of({"id": [f"Entry {one} records what was done with the audit trail: it stays."]})


async def read(db: Db, wanted: Redaction, *, after_id: int, limit: int) -> tuple[OldRequest, ...]:
    """Returns requests after an id, oldest first: the named ones, or all."""
    rows = await db.fetch(_REQUESTS, after_id, list(wanted.entry_ids) or None, limit)
    answers: dict[int, list[Mapping[str, Any]]] = {row["id"]: [] for row in rows}
    for row in await db.fetch(_ANSWERS, list(answers)):
        answers[row["answers"]].append(json.loads(row["content"]))
    return tuple(
        OldRequest(id=row["id"], content=json.loads(row["content"]), answers=tuple(answers[row["id"]])) for row in rows
    )


async def accounts(db: Db, found: Iterable[OldRequest]) -> frozenset[str]:
    """Returns those of the names with which somebody tried to log in that are names of accounts."""
    names = {one.named for one in found} - {None}
    return frozenset(row["username"] for row in await db.fetch(_ACCOUNTS, list(names))) if names else frozenset()


async def redact(db: Db, targets: Sequence[Target], *, caller: Caller, comment: str) -> int:
    """Redacts these, in the caller's transaction, and records that. Returns the number of requests that changed.

    Raises WrongState, with nothing changed, for an entry that somebody changed by hand.
    """
    wanted = [{"id": one.id, "fields": one.fields, "login": one.login} for one in targets]
    by = {"username": caller.username, "fields": {"comment": recorded_text(comment)}}
    try:
        changed: int = await db.fetchval(_REDACT, wanted, by)
    except asyncpg.RestrictViolationError as error:
        raise WrongState(f"{error} Nothing more was redacted.") from error
    return changed

"""Redacts values in old entries. The database replaces them: nothing else of an entry can change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
from attrs import field, frozen

from common.errors import InvalidRequest, NotFound, WrongState
from regiond.audit.model import NOT_RECORDED, REDACTED, AuditResult, RecordedFields, Redaction, recorded_text
from regiond.caller import Caller

if TYPE_CHECKING:
    from regiond.db.pool import Db

_REDACT = "select audit_redact($1::jsonb, $2::jsonb)"
_ACTIONS = "select id, action from audit_entry where id = any($1::bigint[]) and answers is null"
_REQUESTS = """
    select id, content from audit_entry
     where id > $1 and answers is null and action not ilike 'audit.%' and ($2::bigint[] is null or id = any($2))
     order by id limit $3
"""
_ANSWERS = "select answers, content from audit_entry where answers = any($1::bigint[])"
_Recorded = Mapping[str, RecordedFields]


@frozen(kw_only=True)
class Target:
    """A request and the fields of it that are to be redacted; None for all, their names too."""

    id: int
    fields: tuple[str, ...] | None = None


@frozen(kw_only=True)
class OldRequest:
    """The contents of the entries of a request."""

    id: int
    content: Mapping[str, Any]
    answers: list[Mapping[str, Any]] = field(factory=list)

    @property
    def values(self) -> Mapping[str, str]:
        """The values that it still has. Names in parentheses are ours."""
        found: dict[str, str] = {}
        for one in (self.content, *self.answers):
            found |= {name: value for name, value in one.get("fields", {}).items() if value not in _NO_VALUES}
        return {name: value for name, value in found.items() if not name.startswith("(")}

    @property
    def rejected_at_once(self) -> bool:
        return self.content.get("result") == AuditResult.REJECTED

    @property
    def rejected(self) -> bool:
        return self.rejected_at_once or any(one.get("result") == AuditResult.REJECTED for one in self.answers)


_NO_VALUES = frozenset({NOT_RECORDED, REDACTED})


def target(one: OldRequest, wanted: Redaction, recorded: _Recorded) -> Target | None:
    """Returns what is to be redacted of the request, if anything."""
    if not (wanted.fields or wanted.unlisted):
        return Target(id=one.id)
    names = _unlisted(one, recorded) if wanted.unlisted else one.values.keys() & set(wanted.fields)
    return Target(id=one.id, fields=tuple(sorted(names))) if names else None


def _unlisted(one: OldRequest, recorded: _Recorded) -> Iterable[str]:
    """What would not be recorded today: of a request that was rejected at once, no value; of one that was rejected
    while it ran, those of a fixed form.
    """
    if one.rejected_at_once:
        return set(one.values)
    listed = recorded.get(one.content.get("action", ""), RecordedFields())
    return one.values.keys() - listed.fixed - (frozenset() if one.rejected else listed.texts)


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
    found = {row["id"]: OldRequest(id=row["id"], content=json.loads(row["content"])) for row in rows}
    for row in await db.fetch(_ANSWERS, list(found)):
        found[row["answers"]].answers.append(json.loads(row["content"]))
    return tuple(found.values())


async def redact(db: Db, targets: Sequence[Target], *, caller: Caller, comment: str) -> int:
    """Redacts these, in the caller's transaction, and records that. Returns the number of requests that changed.

    Raises WrongState, with nothing changed, for an entry that somebody changed by hand.
    """
    wanted = [{"id": one.id} if one.fields is None else {"id": one.id, "fields": list(one.fields)} for one in targets]
    by = {"username": caller.username, "fields": {"comment": recorded_text(comment)}}
    try:
        changed: int = await db.fetchval(_REDACT, wanted, by)
    except asyncpg.RestrictViolationError as error:
        raise WrongState(f"{error} Nothing more was redacted.") from error
    return changed

"""Spans of SQL statements, named after what they do to which tables; never with values."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

import asyncpg

from common.tracing.spans import Kind, code_of, current

_MAX_TABLES = 5
_NO_TABLE = re.compile(
    r"\bfor\s+(no\s+key\s+)?update\b|\bfor\s+(key\s+)?share\b|\bdo\s+update\s+set\b|\bdistinct\s+from\b", re.IGNORECASE
)
# After `from` and `join`, a name with a parenthesis is a function.
_TABLE = re.compile(
    r"\b(?:insert\s+into|update|merge\s+into)\s+([a-z_][a-z0-9_.]*)"
    r"|\b(?:from|join)\s+(?:lateral\s+)?([a-z_][a-z0-9_.]*)\b(?!\s*\()",
    re.IGNORECASE,
)
_CHANGE = re.compile(r"\b(insert|delete|merge|update)\b", re.IGNORECASE)


class Statement(Protocol):
    """A statement that has ended, as asyncpg reports it; its arguments are not read."""

    @property
    def query(self) -> str: ...
    @property
    def elapsed(self) -> float: ...
    @property
    def exception(self) -> BaseException | None: ...


def record_statement(statement: Statement) -> None:
    """Records a span below the current one; a statement outside a trace has none."""
    span = current()
    if span is None:
        return
    summary = summary_of(statement.query)
    facts = {"db.system.name": "postgresql", "db.query.summary": summary}
    span.ended_child(summary, Kind.CLIENT, facts, took_s=statement.elapsed, code=_code(statement.exception))


@lru_cache(maxsize=4096)
def summary_of(query: str) -> str:
    """Returns the verb and the first tables of a statement, such as `update operation`."""
    plain = _NO_TABLE.sub(" ", query)
    words = plain.split(None, 1)
    verb = words[0].lower().rstrip(";") if words else "empty"
    if verb == "with":
        changes = _CHANGE.search(plain)
        verb = changes[1].lower() if changes else "select"
    tables = list(dict.fromkeys((changed or read).lower() for changed, read in _TABLE.findall(plain)))
    return " ".join([verb, *tables[:_MAX_TABLES]])


def _code(error: BaseException | None) -> str | None:
    if error is None:
        return None
    return error.sqlstate if isinstance(error, asyncpg.PostgresError) else code_of(error)

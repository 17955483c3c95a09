"""Records the SQL statements that a test's own calls execute, without those of the region's other tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

import pytest
from asyncpg.connection import LoggedQuery

from regiond.db.pool import Database, Db

_LOGGED: ContextVar[list[str] | None] = ContextVar("logged statements", default=None)


@contextmanager
def statements_of(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that this task, and tasks that it starts in the block, execute on the database, in order."""
    connection_of = database.connection

    @asynccontextmanager
    async def logged() -> AsyncIterator[Db]:
        async with connection_of() as db:
            statements = _LOGGED.get()
            if statements is None:
                yield db
                return

            def note(query: LoggedQuery) -> None:
                statements.append(query.query)

            db.add_query_logger(note)
            try:
                yield db
            finally:
                db.remove_query_logger(note)

    found: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(database, "connection", logged)
        token = _LOGGED.set(found)
        try:
            yield found
        finally:
            _LOGGED.reset(token)

"""Operations that a database has lost: it does not have them, or has them in an earlier state than was notified."""

from __future__ import annotations

import pytest

from regiond.db.pool import Database
from regiond.operations.seen_changes import AGE_S, SeenChanges
from tests.postgresql.database import execute

pytestmark = pytest.mark.database

_ROWS = """
    insert into operation (id, kind, max_failures, state) values
        (1, 'power', 1, 'succeeded'), (2, 'power', 1, 'running'), (3, 'power', 1, 'queued'), (4, 'power', 1, 'waiting')
"""


async def test_a_lost_change_of_an_operation_is_found(database: Database) -> None:
    await execute(database, _ROWS)
    now = 0.0
    changes = SeenChanges(clock=lambda: now)
    for number, state in ((1, "running"), (2, "waiting"), (3, "queued"), (4, "running")):
        changes.on_state_changed(number, state)
    async with database.connection() as db:
        assert await changes.lost(db) == ()
        changes.on_state_changed(2, "failed")
        changes.on_state_changed(3, "running")
        changes.on_state_changed(9, "queued")
        assert await changes.lost(db) == (2, 3, 9)
        now += AGE_S + 1
        assert await changes.lost(db) == ()  # the log of the former server shows that

"""A database that is served by another server than before is moved on once, also by a role that owns nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from regiond.db.history import ServerHistory
from regiond.db.pool import Database
from regiond.db.position import Position
from regiond.racks.enrolment.installation import open_authority
from regiond.recovery.fail_over import FailOver
from tests.postgresql.database import execute, fetchval

pytestmark = pytest.mark.database

_ROWS = """
    insert into operation (kind, max_failures) values ('power', 1);
    insert into event (kind, level, message) values ('host_added', 'info', '')
"""
_STATES = "select array_agg(state order by id) from operation"
_MOVED_ON = "select count(*) from event where kind = 'region_restored'"
_NEXT = "select nextval('operation_id_seq')"


async def used(dsn: str, newest: Position | None) -> tuple[Database, Position]:
    """The database as a region opens it that has used the position `newest`."""
    history = ServerHistory(newest=newest)
    FailOver(history)
    opened = await Database.open(dsn, history=history, min_size=2)
    assert history.newest is not None
    return opened, history.newest


@pytest.mark.slow
async def test_another_server_moves_the_database_on_once(restricted_url: str, tmp_path: Path) -> None:
    first, position = await used(restricted_url, None)
    await execute(first, _ROWS)
    async with first.transaction() as db:
        await open_authority(db, tmp_path)
    assert await fetchval(first, _MOVED_ON) == 0
    await first.close()
    former = evolve(position, timeline=position.timeline - 1)
    for moved_on in (1, 0):
        opened, _ = await used(restricted_url, former)
        assert await fetchval(opened, _MOVED_ON) == moved_on
        await execute(opened, "delete from event")  # as after their retention
        assert await fetchval(opened, _STATES) == ["failed"]
        assert 10_000 < await fetchval(opened, _NEXT) < 20_100
        await opened.close()
    former = Position(system="7", timeline=3)
    opened, _ = await used(restricted_url, former)
    assert await fetchval(opened, _MOVED_ON) == 0
    await opened.close()

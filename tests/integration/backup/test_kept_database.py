"""A database that one test after another uses is as new for each, and so is a connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from regiond.db.pool import connect
from tests.postgresql.database import as_superuser, create_database, drop_database, execute_as_superuser
from tests.postgresql.kept_database import KeptConnection, KeptDatabase
from tests.support.waiting import settle

pytestmark = pytest.mark.database

_CONTENT = """
    select (select json_agg(zone order by id) from zone) as seeded, (select json_agg(tag) from tag) as empty,
           (select array_agg((schemaname, sequencename, last_value)::text order by 1) from pg_sequences) as positions
"""
# The template has rows of zones, and no tags.
_CHANGES = (
    "insert into zone (name) values ('north')",
    "update zone set description = 'changed'",
    "delete from zone",
    "insert into tag (name) values ('fast')",
)
_SESSION = """
    select current_setting('work_mem') as memory,
           (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
           (select count(*) from pg_listening_channels()) as channels,
           (select count(*) from pg_cursors) as cursors
"""


@pytest.fixture
def kept(postgres_server: str, template: str) -> Iterator[KeptDatabase]:
    name = f"innkeeper_kept_{uuid4().hex[:12]}"
    dsn = settle(create_database(postgres_server, name, template=template))
    opened = settle(KeptDatabase.open(dsn, as_superuser(dsn), leaves_within_s=0.1))
    yield opened
    settle(opened.close())
    settle(drop_database(postgres_server, urlsplit(dsn).path.strip("/")))


async def content(kept: KeptDatabase) -> list[object]:
    db = await asyncpg.connect(as_superuser(kept.dsn))
    try:
        return list((await db.fetchrow(_CONTENT)) or ())
    finally:
        await db.close()


async def opened(kept: KeptDatabase) -> KeptConnection:
    db = await connect(kept.dsn, application_name="test")
    assert isinstance(db, KeptConnection)
    return db


async def test_rows_and_sequences_are_those_of_the_template(kept: KeptDatabase) -> None:
    before = await content(kept)
    for change in (*_CHANGES, "; ".join(_CHANGES), *_CHANGES):  # again: what was put back can be put back
        await execute_as_superuser(kept.dsn, change)
        assert await content(kept) != before
        assert await kept.put_back()
        assert await content(kept) == before, change


@pytest.mark.parametrize(
    "change",
    [
        "create table more (id integer)",
        "alter table zone add more integer",
        "alter table zone alter name set default 'north'",
        "create index more on zone (description)",
        "create function more() returns integer language sql as 'select 1'",
    ],
)
async def test_another_schema_ends_the_database(kept: KeptDatabase, change: str) -> None:
    assert await kept.put_back()
    await execute_as_superuser(kept.dsn, change)
    assert not await kept.put_back()


async def test_a_session_that_stays_ends_the_database(kept: KeptDatabase) -> None:
    left = await opened(kept)
    assert not await kept.put_back()
    await left.close()
    assert await kept.put_back()


async def test_a_session_that_is_handed_on_is_as_new(kept: KeptDatabase) -> None:
    first = await opened(kept)
    process, as_new = first.get_server_pid(), await first.fetchrow(_SESSION)
    await first.add_listener("news", lambda *_: None)
    await first.execute(
        "set work_mem = '123MB'; select pg_advisory_lock(7); declare held cursor with hold for select 1"
    )
    assert await first.fetchrow(_SESSION) != as_new
    await first.close()
    second = await opened(kept)
    assert second.get_server_pid() == process
    assert await second.fetchrow(_SESSION) == as_new
    await second.close()


async def test_a_session_with_an_open_transaction_is_not_handed_on(kept: KeptDatabase) -> None:
    first = await opened(kept)
    await first.execute("begin; insert into zone (name) values ('north')")
    await first.close()
    second = await opened(kept)
    assert second.get_server_pid() != first.get_server_pid()
    await second.close()
    assert await kept.put_back()


async def test_only_the_same_options_get_a_session(kept: KeptDatabase) -> None:
    first = await opened(kept)
    await first.close()
    other = await connect(kept.dsn, application_name="other")
    assert other.get_server_pid() != first.get_server_pid()
    await other.close()


async def test_a_closed_connection_is_not_usable(kept: KeptDatabase) -> None:
    db = await opened(kept)
    await db.close()
    assert db.is_closed()
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await db.execute("select 1")


async def test_a_connection_that_is_closed_twice_is_handed_on_once(kept: KeptDatabase) -> None:
    first = await opened(kept)
    await first.close()
    await first.close()
    both = [await opened(kept), await opened(kept)]
    assert len({one.get_server_pid() for one in both}) == 2
    for one in both:
        await one.close()

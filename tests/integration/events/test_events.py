"""Recording, filtering and pruning events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from attrs import evolve

from regiond.db.pool import Database
from regiond.events import store
from regiond.events.model import EventFilter, Level
from regiond.events.service import Events
from regiond.requests.caller import Caller

pytestmark = pytest.mark.database

ADMIN = Caller(account_id=1, username="admin", is_admin=True)


async def test_events_are_listed_newest_first_with_all_fields(database: Database) -> None:
    rack_id = uuid4()
    async with database.transaction() as db:
        first = await Events.record(db, "host_added", "local was added", caller=ADMIN, host_id=7)
        second = await Events.record(
            db,
            "operation_failed",
            "it failed",
            level=Level.ERROR,
            system_id="abc",
            operation_id=9,
            rack_id=rack_id,
            details={"required_mib": 4096, "rack": rack_id},
        )
    events = await Events(database).list()
    assert [event.id for event in events] == [second, first]
    assert (events[1].kind, events[1].level) == ("host_added", Level.INFO)
    assert (events[1].username, events[1].host_id) == ("admin", 7)
    assert events[0].details == {"required_mib": 4096, "rack": str(rack_id)}
    assert (events[0].rack_id, events[0].operation_id, events[0].system_id) == (rack_id, 9, "abc")


async def test_a_rolled_back_transaction_records_no_event(database: Database) -> None:
    async def fails() -> None:
        async with database.transaction() as db:
            await Events.record(db, "host_added", "local was added")
            raise KeyError

    with pytest.raises(KeyError):
        await fails()
    assert await Events(database).list() == ()


async def test_filters_combine_and_pages_follow_each_other(database: Database) -> None:
    async with database.transaction() as db:
        for number in range(10):
            level = Level.WARNING if number % 2 else Level.INFO
            await Events.record(db, "counted", str(number), level=level, host_id=number // 5)
    events = Events(database)
    filter_ = EventFilter(levels=(Level.WARNING,), host_id=1, limit=2)
    page = await events.list(filter_)
    assert [event.message for event in page] == ["9", "7"]
    rest = await events.list(evolve(filter_, before_id=page[-1].id))
    assert [event.message for event in rest] == ["5"]
    assert len(await events.list(EventFilter(limit=10**9))) == 10
    back = await events.list(evolve(filter_, limit=1, after_id=rest[-1].id))
    assert [event.message for event in back] == ["7"]


async def test_events_are_found_by_kind_user_text_and_time(database: Database) -> None:
    async with database.transaction() as db:
        for number, kind in enumerate(("host_added", "tag_created", "tag_deleted")):
            event_id = await Events.record(db, kind, f"The 100%_tag {number}", caller=ADMIN if number else None)
            at = datetime(2026, 11, 20 + number, tzinfo=UTC)
            await db.execute("update event set at = $2 where id = $1", event_id, at)
    events = Events(database)
    for filter_, expected in (
        (EventFilter(kinds=("host_added", "tag_deleted")), ["2", "0"]),
        (EventFilter(username="admin"), ["2", "1"]),
        (EventFilter(text="0%_TAG 1"), ["1"]),
        (EventFilter(text="%1"), []),
        (EventFilter(since=datetime(2026, 11, 21, tzinfo=UTC), until=datetime(2026, 11, 22, tzinfo=UTC)), ["1"]),
        (EventFilter(username="admin", kinds=("tag_created",), text="tag"), ["1"]),
    ):
        assert [event.message[-1] for event in await events.list(filter_)] == expected, filter_


async def test_only_events_older_than_the_retention_are_pruned(database: Database) -> None:
    async with database.transaction() as db:
        for days in (0, 89, 91, 400):
            event_id = await Events.record(db, "aged", str(days))
            await db.execute("update event set at = now() - $2::interval where id = $1", event_id, timedelta(days=days))
    assert await Events(database).prune() == 2
    assert [event.message for event in await Events(database).list()] == ["89", "0"]
    assert await Events(database, retention=timedelta(days=1)).prune() == 1


async def test_a_new_account_does_not_read_the_events_of_its_namesake(database: Database) -> None:
    before, after = (Caller(account_id=number, username="ann", is_admin=False) for number in (7, 8))
    async with database.transaction() as db:
        await Events.record(db, "logged_in", "ann logged in from 10.0.0.7.", caller=before)
        await Events.record(db, "host_changed", "by an operation", account_id=7, username="ann")
        await Events.record(db, "logged_in", "ann logged in from 10.0.0.8.", caller=after)
    events = Events(database)
    newest = (await events.list())[0].id
    assert [event.message for event in await events.list(caller=after)] == ["ann logged in from 10.0.0.8."]
    assert [event.message for event in await events.list(caller=before)] == [
        "by an operation", "ann logged in from 10.0.0.7.",
    ]  # fmt: skip
    async with database.connection() as db:
        streamed = await store.select_between(db, EventFilter(), 0, newest, caller=after)
    assert [event.message for event in streamed] == ["ann logged in from 10.0.0.8."]

"""`events/stream` on a real socket and database: order, continuation, gaps, roles, ends and limits."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from regiond.events import streams, tail
from regiond.events.model import EventFilter, Level
from regiond.events.service import Events
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.support.event_reader import EventReader, reading
from tests.integration.support.tables import sql
from tests.integration.support.users import user_key
from tests.support.administrators import API_KEY_FILE
from tests.support.waiting import eventually


def stream(
    region: Deployment, query: str = "", *, key: str = "", **headers: str
) -> AbstractAsyncContextManager[EventReader]:
    return reading(region.api.url, key or admin_key(region), f"events/stream{query}", **headers)


def admin_key(region: Deployment) -> str:
    return next(region.folder.rglob(API_KEY_FILE)).read_text().strip()


async def record(region: Deployment, *messages: str, **more: Any) -> list[int]:
    """Each in a transaction of its own. Returns the ids."""
    ids = []
    for message in messages:
        async with region.region.components.database.transaction() as db:
            account_id = await db.fetchval("select id from account where username = $1", more.get("username"))
            ids.append(await Events.record(db, "counted", message, account_id=account_id, **more))
    return ids


def messages(found: list[Any]) -> list[str]:
    return [one["description"] for one in found]


async def test_events_arrive_as_they_are_recorded_as_in_the_list(rackless: Deployment) -> None:
    async with stream(rackless) as reader:
        assert (reader.status, reader.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert reader.headers["cache-control"] == "no-store"
        ids = await record(rackless, "one", "two\nlines")
        found = await reader.events(2)
    listed = await rackless.get(f"events/?op=query&after={ids[0] - 1}")
    assert found == listed["events"][::-1]
    assert [one["id"] for one in found] == ids


async def test_op_stream_of_the_events_is_the_same_stream(rackless: Deployment) -> None:
    await record(rackless, "one")
    async with reading(rackless.api.url, admin_key(rackless), "events/?op=stream&after=0&duration=0") as reader:
        assert "one" in messages([block.data for block in await reader.rest() if block.data])


async def test_a_reader_that_reconnects_misses_and_repeats_nothing(rackless: Deployment) -> None:
    ids = await record(rackless, *map(str, range(250)))
    async with stream(rackless, f"?after={ids[0]}") as reader:
        assert messages(await reader.events(120)) == [str(number) for number in range(1, 121)]
    more = await record(rackless, "more")
    # The header is newer than the field of the first address.
    async with stream(rackless, f"?after={ids[0]}", Last_Event_ID=str(ids[120])) as reader:
        found = await reader.events(130)
    assert messages(found) == [*(str(number) for number in range(121, 250)), "more"]
    assert found[-1]["id"] == more[0]


async def test_a_reader_without_events_has_a_position_to_continue_from(rackless: Deployment) -> None:
    await record(rackless, "before")
    async with stream(rackless) as reader:
        start = await reader.next()
    assert (start.data, start.kind) == (None, "")
    await record(rackless, "while away")
    async with stream(rackless, Last_Event_ID=start.id) as reader:
        assert messages(await reader.events(1)) == ["while away"]


@pytest.mark.parametrize("ends", ["commit", "rollback"])
async def test_an_event_waits_for_earlier_ids_that_are_not_committed(rackless: Deployment, ends: str) -> None:
    """Otherwise a reader that continues after the later id would never get the earlier one."""
    async with rackless.connection() as slow, stream(rackless) as reader:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute("insert into event (kind, level, message) values ('counted', 'info', 'early')")
        (late,) = await record(rackless, "late")
        following = asyncio.ensure_future(reader.events(1 if ends == "rollback" else 2))
        events = rackless.region.components.event_tail
        await eventually(lambda: events.readers)
        for _ in range(3):  # the tail has looked again
            assert (await events.read()).newest >= late
        assert events.horizon < late
        assert not following.done()
        await getattr(transaction, ends)()
        assert messages(await following) == (["late"] if ends == "rollback" else ["early", "late"])


@pytest.mark.slow
async def test_ids_come_in_order_with_many_writers_and_rollbacks(
    rackless: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers that reconnect at any moment see each event once, though the writers commit in any order."""
    monkeypatch.setattr(streams, "PAUSE_S", 0.0)
    monkeypatch.setattr(tail, "COLLECT_S", 0.0)
    database, writers, rounds = rackless.region.components.database, 5, 40

    async def write(writer: int) -> None:
        for number in range(rounds):
            async with database.transaction(dry_run=number % 5 == writer % 5) as db:
                await Events.record(db, "counted", f"{writer} {number} a")
                await db.execute("select pg_sleep($1)", 0.003 * ((writer * 7 + number * 3) % 10))
                await Events.record(db, "counted", f"{writer} {number} b")

    start = (await record(rackless, "start"))[0]
    writing = asyncio.gather(*map(write, range(writers)))
    seen: list[int] = [start]
    wanted = writers * (rounds - rounds // 5) * 2
    while len(seen) <= wanted:
        async with stream(rackless, f"?after={seen[-1]}") as reader:
            seen += [one["id"] for one in await reader.events(min(17, wanted + 1 - len(seen)))]
    await writing
    stored = [row["id"] for row in await rackless.fetch("select id from event where id >= $1 order by id", start)]
    assert seen == stored


async def test_an_id_whose_followers_were_deleted_is_answered_with_reload(rackless: Deployment) -> None:
    ids = await record(rackless, "old", "older than the retention", "kept")
    await sql(rackless, "delete from event where message <> 'kept'")
    async with stream(rackless, f"?after={ids[0]}") as reader:
        gap = await reader.next()
        assert (gap.kind, gap.id) == ("reload", str(ids[1]))
        assert "deleted" in gap.data["reason"]
        assert messages(await reader.events(1)) == ["kept"]
    async with stream(rackless, f"?after={gap.id}") as reader:  # not again
        assert messages(await reader.events(1)) == ["kept"]
    async with stream(rackless, "?after=0") as reader:  # asks for what is stored
        assert messages(await reader.events(1)) == ["kept"]
    await sql(rackless, "delete from event")
    async with stream(rackless, f"?after={ids[1]}") as reader:
        assert (await reader.next()).kind == "reload"


async def test_an_id_of_another_database_is_answered_with_reload(rackless: Deployment) -> None:
    async with stream(rackless, "?after=999999999") as reader:
        assert (await reader.next()).kind == "reload"
        await record(rackless, "next")
        assert messages(await reader.events(1)) == ["next"]


async def test_only_events_that_match_the_filters_are_sent(rackless: Deployment) -> None:
    async with stream(rackless, "?level=WARNING&operation=7") as reader:
        await record(rackless, "info", operation_id=7)
        await record(rackless, "other", operation_id=8, level=Level.ERROR)
        await record(rackless, "wanted", operation_id=7, level=Level.ERROR)
        assert messages(await reader.events(1)) == ["wanted"]


async def test_a_user_gets_only_what_the_list_shows_to_it(rackless: Deployment) -> None:
    ann, bob = await user_key(rackless, "ann"), await user_key(rackless, "bob")
    async with stream(rackless, key=ann) as of_ann, stream(rackless, key=bob) as of_bob:
        await record(rackless, "of the region")
        await record(rackless, "of ann", username="ann")
        await record(rackless, "of bob", username="bob")
        assert messages(await of_ann.events(1)) == ["of ann"]
        assert messages(await of_bob.events(1)) == ["of bob"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(streams, "ALIVE_EVERY_S", 0.2)


@pytest.mark.parametrize(
    "end",
    [
        "update account set is_active = false where username = 'ann'",
        "delete from api_key where account_id = (select id from account where username = 'ann')",
        "update api_key set expires_at = now() where account_id = (select id from account where username = 'ann')",
        "delete from account where username = 'ann'",
    ],
    ids=["disabled", "revoked", "expired", "deleted"],
)
@pytest.mark.usefixtures("impatient")
async def test_a_stream_ends_with_its_key_or_account(rackless: Deployment, end: str) -> None:
    async with stream(rackless, key=await user_key(rackless, "ann")) as reader:
        await reader.next()
        await sql(rackless, end)
        await record(rackless, "afterwards", username="ann")
        await reader.rest()  # it ends


@pytest.mark.usefixtures("impatient")
async def test_a_quiet_stream_says_that_it_lives_and_moves_on(rackless: Deployment) -> None:
    async with stream(rackless, "?operation=7") as reader:
        start = await reader.next()
        (other,) = await record(rackless, "other")

        async def moved_on() -> bool:
            block = await reader.next()
            assert (block.comment, block.data) == ("alive", None)
            return bool(int(block.id) >= other > int(start.id))

        await eventually(moved_on)


async def test_a_stream_ends_after_its_duration(rackless: Deployment) -> None:
    ids = await record(rackless, *map(str, range(3)))
    async with stream(rackless, f"?after={ids[0]}&duration=0") as reader:
        assert messages([block.data for block in await reader.rest() if block.data]) == ["1", "2"]


async def test_shutdown_ends_the_streams(tmp_path: Path, database_url: str) -> None:
    async with AsyncExitStack() as reading_on:
        async with deployed(tmp_path, database_url) as region:
            reader = await reading_on.enter_async_context(stream(region))
            await reader.next()
        assert await reader.rest() == []


async def test_an_account_has_at_most_ten_streams(rackless: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MAX_READERS_PER_ACCOUNT", 2)
    monkeypatch.setattr(tail, "MAX_READERS", 3)
    ann, events = await user_key(rackless, "ann"), rackless.region.components.event_tail
    async with stream(rackless) as first, stream(rackless) as second:
        assert (first.status, second.status) == (200, 200)
        async with stream(rackless) as third:
            assert (third.status, third.headers["retry-after"]) == (429, "5")
        async with stream(rackless, key=ann) as other:
            assert other.status == 200
            async with stream(rackless, key=ann) as one_too_many:
                assert one_too_many.status == 429
    await eventually(lambda: events.readers == 0)  # those who leave make room


async def test_a_head_request_holds_no_stream(rackless: Deployment) -> None:
    events = rackless.region.components.event_tail
    async with reading(rackless.api.url, admin_key(rackless), method="HEAD") as reader:
        assert (reader.status, events.readers) == (200, 0)


async def test_a_reader_that_is_slow_gets_everything_later(rackless: Deployment) -> None:
    number, text = 300, "x" * 20_000  # 6 MB: more than the buffers of a connection hold
    ids = await record(rackless, "start")
    async with rackless.connection() as db:
        await db.execute(
            "insert into event (kind, level, message) select 'counted', 'info', $1 from generate_series(1, $2)",
            text, number,
        )  # fmt: skip
    async with stream(rackless, f"?after={ids[0]}") as reader:
        await record(rackless, "last")
        found = await reader.events(number + 1)
    assert (len(found), found[-1]["description"]) == (number + 1, "last")


async def test_nothing_is_read_ahead_of_a_reader(rackless: Deployment) -> None:
    region = rackless.region.components
    await record(rackless, *map(str, range(3)))
    start, batches = await region.services.event_streams.open(rackless.admin, EventFilter(), after_id=0, duration_s=60)
    assert (start.position, start.events) == (0, ())
    await sql(rackless, "delete from event where message = '1'")
    assert [event.message for event in (await anext(batches)).events if event.kind == "counted"] == ["0", "2"]
    await batches.aclose()
    assert region.event_tail.readers == 0


@pytest.mark.parametrize("last_id", ["x", "-1", "1.5", str(2**64)])
async def test_a_header_that_is_no_id_is_rejected(rackless: Deployment, last_id: str) -> None:
    async with stream(rackless, Last_Event_ID=last_id) as reader:
        assert reader.status == 400

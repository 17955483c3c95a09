"""The feed of changes: positions, gaps, and what a caller may know."""

from __future__ import annotations

import asyncio

import pytest

from regiond.events import changes
from regiond.events.changes import ChangeFeed, parse_change
from regiond.requests.caller import Caller, PoolRole

ADMIN = Caller(account_id=1, username="admin", is_admin=True)
VIEWER = Caller(account_id=2, username="ann", is_admin=False, grants={7: PoolRole.VIEWER})


def test_a_reader_gets_what_changed_since_its_position_once() -> None:
    feed = ChangeFeed()
    start = feed.position
    feed.receive("hosts,host-3 7 -")
    feed.receive("hosts,host-4 7 -")
    found = feed.since(start, ADMIN)
    assert found.topics == ("hosts", "host-3", "host-4")
    assert feed.since(found.position, ADMIN).topics == ()


def test_a_caller_learns_only_of_what_it_may_see() -> None:
    feed = ChangeFeed()
    start = feed.position
    feed.receive("host-3 7 -")
    feed.receive("host-4 8 -")
    feed.receive("vm-abc123 8 2")
    assert feed.since(start, VIEWER).topics == ("host-3", "vm-abc123")


@pytest.mark.parametrize("position", ["", "other-3", "x", "{epoch}-99", "{epoch}-x", "{epoch}--1"])
def test_an_unknown_position_is_a_gap(position: str) -> None:
    feed = ChangeFeed()
    feed.receive("hosts - -")
    found = feed.since(position.format(epoch=feed.position.partition("-")[0]), ADMIN)
    assert found.is_gap
    assert found.position == feed.position


def test_a_reader_that_is_too_far_behind_has_a_gap() -> None:
    feed = ChangeFeed()
    start = feed.position
    for number in range(changes.KEPT + 1):
        feed.receive(f"host-{number} - -")
    assert feed.since(start, ADMIN).is_gap


def test_a_lost_connection_to_the_database_is_a_gap_for_all() -> None:
    feed = ChangeFeed()
    start = feed.position
    feed.resync()
    assert feed.since(start, ADMIN).is_gap


@pytest.mark.parametrize("payload", ["", "hosts", "hosts 7", "hosts x -", "a b c d"])
def test_a_payload_of_somebody_else_changes_nothing(payload: str) -> None:
    feed = ChangeFeed()
    start = feed.position
    feed.receive(payload)
    assert feed.position == start


def test_a_payload_names_topics_pools_and_accounts() -> None:
    change = parse_change("hosts,host-3 1,2 9")
    assert (change.topics, change.pool_ids, change.account_ids) == (
        ("hosts", "host-3"),
        frozenset({1, 2}),
        frozenset({9}),
    )


def test_a_change_of_all_pools_is_seen_with_a_role_in_any() -> None:
    feed = ChangeFeed()
    start = feed.position
    feed.receive("images * -")
    outsider = Caller(account_id=3, username="bob", is_admin=False)
    assert [feed.since(start, one).topics for one in (ADMIN, VIEWER, outsider)] == [("images",), ("images",), ()]


def test_a_change_that_was_too_long_to_report_is_a_gap_for_all() -> None:
    feed = ChangeFeed()
    start = feed.position
    feed.receive("*")
    assert feed.since(start, VIEWER).is_gap


async def test_a_wait_ends_with_a_change_the_end_or_the_time() -> None:
    feed = ChangeFeed()
    start = feed.position
    assert not await feed.wait(start, timeout_s=0.01)
    waiting = asyncio.ensure_future(feed.wait(start, timeout_s=30))
    await asyncio.sleep(0)
    feed.receive("hosts - -")
    assert await waiting
    waiting = asyncio.ensure_future(feed.wait(feed.position, timeout_s=30))
    await asyncio.sleep(0)
    feed.close()
    assert await waiting


async def test_a_wait_ends_when_notifications_no_longer_arrive() -> None:
    feed = ChangeFeed()
    waiting = asyncio.create_task(feed.wait(feed.position, timeout_s=60))
    await asyncio.sleep(0)
    feed.interrupt()
    assert await waiting
    assert feed.is_interrupted
    feed.resync()
    assert not feed.is_interrupted

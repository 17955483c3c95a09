"""RPC clients follow the events over a real link, and go on after the link and the region were lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidRequest, LinkLost, NotAllowed, NotFound, TooManyAttempts
from common.trust.certificates import Role
from common.words.hidden_text import hidden
from innkeeper import rpc
from innkeeper.rpc import EventSummary
from regiond.events import streams, tail
from regiond.events.model import Level
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.deployment.runner import REGION
from tests.integration.events.test_event_stream import record
from tests.integration.rpc.test_rpc_client_certificates import issue as issue_to
from tests.integration.rpc.test_rpc_client_certificates import user
from tests.integration.rpc.test_rpc_misuse import address_of, client_of, issue
from tests.integration.support.tables import sql
from tests.support.waiting import eventually


def restartable(folder: Path, database_url: str) -> AbstractAsyncContextManager[Deployment]:
    """A region that has the same ports after a restart."""
    return deployed(folder, database_url, killable=True)


async def taken(events: AsyncGenerator[EventSummary, None], number: int) -> list[EventSummary]:
    async with asyncio.timeout(60):
        return [await anext(events) for _ in range(number)]


def texts(events: list[EventSummary]) -> list[str]:
    return [event.message for event in events]


async def cut(region: Deployment) -> None:
    """Cuts the links of all clients, as a network does."""
    for link in region.region.components.listener.links:
        if link.peer.role is Role.CLIENT:
            link.abort()


async def test_a_client_gets_the_events_from_its_opening_on_as_by_http(rackless: Deployment) -> None:
    await record(rackless, "before")
    async with client_of(rackless) as region, region.events() as events:
        ids = await record(rackless, "one", "two\nlines", details={"a": [1, {"b": None}]})
        found = await taken(events, 2)
    listed = (await rackless.get(f"events/?op=query&after={ids[0] - 1}"))["events"][::-1]
    assert [(one.id, one.kind, one.level, one.message, one.details) for one in found] == [
        (one["id"], one["kind"], one["level"], one["description"], one["details"]) for one in listed
    ]


async def test_a_client_continues_after_an_id(rackless: Deployment) -> None:
    ids = await record(rackless, *map(str, range(250)))
    async with client_of(rackless) as region, region.events(after=ids[0]) as events:
        assert texts(await taken(events, 249)) == [str(number) for number in range(1, 250)]


async def test_only_events_that_match_all_filters_are_sent(rackless: Deployment) -> None:
    async with (
        client_of(rackless) as region,
        region.events(level="WARNING", operation_id=7, kinds=["counted"], text="WANT") as events,
    ):
        await record(rackless, "wanted", operation_id=7)
        await record(rackless, "wanted of another", operation_id=8, level=Level.ERROR)
        await record(rackless, "other", operation_id=7, level=Level.ERROR)
        await record(rackless, "wanted error", operation_id=7, level=Level.ERROR)
        assert texts(await taken(events, 1)) == ["wanted error"]


async def test_filters_that_are_none_are_refused(rackless: Deployment) -> None:
    async with client_of(rackless) as region:
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("level", {"level": "LOUD"}),
            ("after", {"after": -1}),
            ("after", {"after": 2**63}),
            ("operation_id", {"operation_id": 2**63}),
            ("text", {"text": "a\0b"}),
            ("username", {"username": "x" * 256}),
            ("system_id", {"system_id": "a\0"}),
            ("host", {"host": "a\0"}),
            ("kinds", {"kinds": ["a\0"]}),
        ]
        for field, request in wrong:
            with pytest.raises(InvalidRequest) as refused:
                async with region.events(**request):
                    pass
            assert list(refused.value.fields) == [field]
        with pytest.raises(NotFound, match="nowhere"):
            async with region.events(host="nowhere"):
                pass


async def test_a_client_gets_only_what_its_account_may_see_and_read(rackless: Deployment) -> None:
    ann, bob = await user(rackless, "ann"), await user(rackless, "bob")
    of_ann, of_bob = await issue_to(rackless, ann, "of-ann"), await issue_to(rackless, bob, "of-bob")
    async with (
        rpc.connect(address_of(rackless), folder=of_ann) as one,
        rpc.connect(address_of(rackless), folder=of_bob) as two,
        client_of(rackless) as three,
        one.events() as anns, two.events() as bobs, three.events() as all_events,
    ):  # fmt: skip
        await record(rackless, "of the region")
        await record(rackless, f"of ann: {hidden('10.1.2.3')}", username="ann")
        await record(rackless, "of bob", username="bob")
        (seen,) = await taken(anns, 1)
        assert seen.message.startswith("of ann: ")
        assert "10.1.2.3" not in seen.message
        assert texts(await taken(bobs, 1)) == ["of bob"]
        assert texts(await taken(all_events, 3)) == ["of the region", "of ann: 10.1.2.3", "of bob"]


async def test_a_client_that_is_no_longer_an_administrator_does_not_read_as_one(
    rackless: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHECK_EVERY_S", 0.05)
    ann = await user(rackless, "ann")
    await sql(rackless, "update account set is_admin = true where username = 'ann'")
    async with (
        rpc.connect(address_of(rackless), folder=await issue_to(rackless, ann, "of-ann")) as region,
        region.events() as events,
    ):
        await record(rackless, f"first {hidden('10.1.2.3')}", username="ann")
        assert texts(await taken(events, 1)) == ["first 10.1.2.3"]
        event_tail = rackless.region.components.event_tail
        await sql(rackless, "update account set is_admin = false where username = 'ann'")
        await eventually(lambda: event_tail.readers == 0)
        await record(rackless, f"second {hidden('10.1.2.3')}", username="ann")
        (second,) = await taken(events, 1)
        assert "10.1.2.3" not in second.message


async def test_an_account_has_as_many_streams_as_by_http(rackless: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MAX_READERS_PER_ACCOUNT", 1)
    event_tail = rackless.region.components.event_tail
    async with client_of(rackless) as region:
        async with region.events():
            with pytest.raises(TooManyAttempts, match="Too many streams of events"):
                async with region.events():
                    pass
        await eventually(lambda: event_tail.readers == 0)  # who leaves makes room


async def test_a_lost_link_neither_loses_nor_repeats_events(rackless: Deployment) -> None:
    async with client_of(rackless) as region, region.events() as events:
        for number in range(3):
            await record(rackless, f"{number} a", f"{number} b")
            assert texts(await taken(events, 1)) == [f"{number} a"]  # the other one is on its way, or read
            await cut(rackless)
            await record(rackless, f"{number} c")
            assert texts(await taken(events, 2)) == [f"{number} b", f"{number} c"]


async def test_a_stream_goes_on_after_the_region_has_restarted(tmp_path: Path, database_url: str) -> None:
    async with (
        restartable(tmp_path, database_url) as deployment,
        client_of(deployment) as region,
        region.events(kinds=["counted"]) as events,
    ):
        await record(deployment, "before")
        assert texts(await taken(events, 1)) == ["before"]
        waiting = asyncio.ensure_future(taken(events, 2))
        await deployment.restart(REGION)
        await record(deployment, "after", "later")
        assert texts(await waiting) == ["after", "later"]


async def test_a_stream_whose_next_events_were_deleted_says_so(rackless: Deployment) -> None:
    ids = await record(rackless, "old", "deleted", "kept")
    await sql(rackless, "delete from event where message <> 'kept'")
    async with client_of(rackless) as region:
        async with region.events(after=ids[0]) as events:
            gap, kept = await taken(events, 2)
        assert (gap.kind, gap.id, kept.message) == ("reload", ids[1], "kept")
        async with region.events(after=gap.id) as events:  # not again
            assert texts(await taken(events, 1)) == ["kept"]


async def test_calls_wait_for_a_region_that_restarts(tmp_path: Path, database_url: str) -> None:
    async with restartable(tmp_path, database_url) as deployment, client_of(deployment) as region:
        await deployment.in_process.stop_region()
        asked = asyncio.ensure_future(region.hosts())
        with pytest.raises(NotFound):
            await asyncio.gather(deployment.in_process.start_region(), region.operation(999))
        assert await asked == ()


async def test_a_revoked_client_is_told_so_and_does_not_try_again(rackless: Deployment) -> None:
    async with rpc.connect(address_of(rackless), folder=await issue(rackless, "program")) as region:
        async with region.events() as events:
            await rackless.region.components.services.rpc_clients.revoke(rackless.admin, "program")
            with pytest.raises(NotAllowed, match="revoked"):
                await taken(events, 1)
        with pytest.raises(NotAllowed, match="revoked"):
            await region.hosts()


async def test_a_connection_that_was_closed_stays_closed(rackless: Deployment) -> None:
    async with client_of(rackless) as region:
        pass
    with pytest.raises(LinkLost, match="was closed"):
        await region.hosts()
    with pytest.raises(LinkLost, match="was closed"):
        await region.wait(1)


@pytest.fixture
def cut_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Deployment, type, str], list[object]]:
    """Cuts the links of clients when this method has returned for the first time: nobody gets the answer."""

    def patch(deployment: Deployment, kind: type, name: str) -> list[object]:
        method, returned = getattr(kind, name), list[object]()

        async def cutting(*args: Any, **options: Any) -> Any:
            found = await method(*args, **options)
            returned.append(found)
            if len(returned) == 1:
                await cut(deployment)
            return found

        monkeypatch.setattr(kind, name, cutting)
        return returned

    return patch


@pytest.mark.parametrize("key", ["k", None], ids=["with a key", "without a key"])
async def test_a_change_whose_answer_was_lost_is_repeated_only_with_a_key(
    innkeeper: Deployment, cut_after: Callable[[Deployment, type, str], list[object]], key: str | None
) -> None:
    await innkeeper.add_simulated()
    begun = cut_after(innkeeper, type(innkeeper.region.components.services.composer), "start_compose")
    async with client_of(innkeeper) as region:
        if key is None:
            with pytest.raises(LinkLost):
                await region.compose(memory_mib=1024)
        else:
            operation = await region.compose(memory_mib=1024, idempotency_key=key)
            await region.wait(operation.id)
        await eventually(lambda: begun)
        assert len(begun) == (1 if key is None else 2)
        (found,) = await region.machines()  # over a new link
        (row,) = await innkeeper.fetch("select id from operation where kind = 'compose'")
        await region.wait(row["id"])
        assert found.memory_mib == 1024


async def test_a_read_whose_answer_was_lost_is_repeated(
    rackless: Deployment, cut_after: Callable[[Deployment, type, str], list[object]]
) -> None:
    asked = cut_after(rackless, type(rackless.region.components.services.hosts), "long_list")
    async with client_of(rackless) as region:
        assert await region.hosts() == ()
    assert len(asked) == 2

"""How many requests of one account, and of one address behind a proxy, are answered at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from attrs import evolve

from common.process.open_connections import ConnectionLimits
from regiond.accounts.model import ApiKey
from regiond.api.http import klein_adapter
from regiond.api.http.site import SiteOptions
from tests.integration.support.api_over_http import BASE, Client, HeldCall, serve
from tests.support.waiting import eventually, settle
from tests.unit.answers.accounts import ADMIN_KEY, USER_KEY
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.machine_samples import OPERATION

MOST = 3


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(klein_adapter, "REFUSAL_DELAY_S", 0.0)
    served = serve(ApiDouble(), SiteOptions(connections=ConnectionLimits(total=20, per_address=MOST)))
    yield served
    settle(served.stop())


@asynccontextmanager
async def sent(
    client: Client, method: str, path: str, key: ApiKey | None = ADMIN_KEY, sender: str = ""
) -> AsyncIterator[asyncio.StreamReader]:
    """A request, of which nothing was read yet; `sender` is whom a proxy on this computer names."""
    headers = {} if key is None else {"Authorization": client.api.signed(key)}
    if sender:
        headers["X_Forwarded_For"] = sender
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(client.encode(method, path, body=b"", signed=False, host="r", **headers))
    try:
        yield reader
    finally:
        writer.transport.abort()


async def answer(client: Client, path: str = f"{BASE}zones/", key: ApiKey | None = ADMIN_KEY, sender: str = "") -> str:
    async with sent(client, "GET", path, key, sender) as reader:
        return (await reader.read()).decode()


async def status(client: Client, path: str = f"{BASE}zones/", key: ApiKey | None = ADMIN_KEY, sender: str = "") -> int:
    return int((await answer(client, path, key, sender)).split(" ")[1])


@asynccontextmanager
async def waiting(client: Client, count: int, method: str = "GET", path: str = f"{BASE}zones/") -> AsyncIterator[None]:
    """So many requests of one account wait for their answers."""
    began = len(client.api.done())
    async with AsyncExitStack() as held:
        for _ in range(count):
            await held.enter_async_context(sent(client, method, path))
        await eventually(lambda: len(client.api.done()) == began + count)
        yield


async def test_an_account_has_so_many_requests_that_wait(client: Client) -> None:
    held = client.api.answers["groups.zones"] = HeldCall(())
    async with waiting(client, MOST):
        refused = await answer(client, f"{BASE}resourcepools/")
        assert refused.startswith("HTTP/1.1 429 ")
        assert "\r\nRetry-After: 5\r\n" in refused
        assert "may have 3 that are being answered (the region's setting http_connections_per_address)" in refused
        assert await status(client, f"{BASE}resourcepools/", USER_KEY) == 200
        assert await status(client, f"{BASE}version/", None) == 200
        held.proceed.set()
        await eventually(lambda: is_served(client))


async def is_served(client: Client) -> bool:
    return await status(client, f"{BASE}resourcepools/") == 200


async def test_readers_that_leave_make_room(client: Client) -> None:
    client.api.answers["groups.zones"] = HeldCall(())
    for _ in range(2):
        async with waiting(client, MOST):
            assert not await is_served(client)
        await eventually(lambda: is_served(client))


async def test_a_change_counts_until_it_has_ended(client: Client) -> None:
    held = client.api.answers["hosts.start_refresh"] = HeldCall(OPERATION)
    async with waiting(client, MOST, "POST", f"{BASE}vm-hosts/4/?op=refresh"):
        pass
    await eventually(lambda: len(client.connections) == 0)
    assert not await is_served(client)
    held.proceed.set()
    await eventually(lambda: is_served(client))


async def test_a_list_that_is_read_slowly_counts(client: Client) -> None:
    (zone,) = client.api.answers["groups.zones"]
    client.api.answers["groups.zones"] = (evolve(zone, description="x" * 8 * 1024**2),) * 2
    async with waiting(client, MOST):
        assert not await is_served(client)
    await eventually(lambda: is_served(client))


async def test_answered_requests_count_no_more(client: Client) -> None:
    for path in (f"{BASE}zones/", f"{BASE}zones/nowhere/x/", f"{BASE}version/") * MOST:
        await status(client, path)
    assert await status(client) == 200


async def test_a_proxy_does_not_hide_who_sends_too_many(client: Client) -> None:
    client.api.answers["groups.zones"] = HeldCall(())
    async with AsyncExitStack() as waiting_for_zones:
        for key in (ADMIN_KEY, USER_KEY, USER_KEY):
            await waiting_for_zones.enter_async_context(sent(client, "GET", f"{BASE}zones/", key, "192.0.2.7"))
        await eventually(lambda: len(client.api.done()) == MOST)
        assert "the address 192.0.2.7 may have 3" in await answer(client, f"{BASE}version/", None, "192.0.2.7")
        assert await status(client, f"{BASE}version/", None, "192.0.2.8") == 200
        assert await status(client, f"{BASE}version/", None) == 200


async def test_refusals_that_are_due_take_no_place_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(klein_adapter, "WRONG_KEY_DELAY_S", 600.0)
    client = serve(ApiDouble(), SiteOptions(connections=ConnectionLimits(total=MOST)))
    wrong = evolve(ADMIN_KEY, token_secret="wrong")  # noqa: S106
    async with AsyncExitStack() as refused:
        for _ in range(MOST):
            await refused.enter_async_context(sent(client, "GET", f"{BASE}zones/", wrong))
        await eventually(lambda: sum(one.name == "accounts.authenticate" for one in client.api.calls) == MOST)
        await eventually(lambda: is_served(client))
    await client.stop()

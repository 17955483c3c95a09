"""The command `innkeeper` repeats a change whose answer was lost, against a region: it is carried out once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.deployment.link_proxy import LinkProxy
from tests.support.administrators import API_KEY_FILE
from tests.support.waiting import eventually
from tests.unit.command.processes import Ran, finished, started

pytestmark = pytest.mark.database

AGAIN = "The request is sent again in 1 s, with the same idempotency key."


@asynccontextmanager
async def logged_in(innkeeper: Deployment, home: Path) -> AsyncIterator[LinkProxy]:
    """Logs in through a proxy in front of the region's API, which the commands in `home` then use."""
    port = urlsplit(innkeeper.region.api_url).port
    assert port is not None
    key = (innkeeper.in_process.settings.state / API_KEY_FILE).read_text().strip()
    async with LinkProxy(region_port=port).listening() as proxy:
        ran = await finished(await started(home, "login", "admin", f"http://127.0.0.1:{proxy.port}", key))
        assert ran.status == 0, ran.err
        yield proxy


async def cut_after_the_change(innkeeper: Deployment, proxy: LinkProxy, home: Path, *words: str, table: str) -> Ran:
    """Runs the command; its connection breaks when the region has written a row of `table`, before its answer."""

    async def number() -> int:
        return int((await innkeeper.fetch(f"select count(*) from {table}"))[0][0])  # noqa: S608  # of the test

    before = await number()
    proxy.hold_region()
    process = await started(home, *words)

    async def is_written() -> bool:
        return await number() > before

    await eventually(is_written)
    proxy.cut()
    return await finished(process)


async def test_a_compose_whose_answer_is_lost_makes_one_machine(innkeeper: Deployment, tmp_path: Path) -> None:
    host = await innkeeper.add_simulated(cores=8)
    async with logged_in(innkeeper, tmp_path) as proxy:
        ran = await cut_after_the_change(
            innkeeper, proxy, tmp_path, "vm-host", "compose", str(host["id"]), "cores=1", "memory=1024", table="machine"
        )
    assert (ran.status, AGAIN in ran.err) == (0, True), ran
    assert [one["system_id"] for one in await innkeeper.get("machines/")] == [ran.plain["system_id"]]
    assert len(innkeeper.simulated_guests()) == 1


async def test_a_key_whose_answer_is_lost_is_made_once(rackless: Deployment, tmp_path: Path) -> None:
    before = len(await rackless.get("account/", op="list_authorisation_tokens"))
    async with logged_in(rackless, tmp_path) as proxy:
        ran = await cut_after_the_change(
            rackless, proxy, tmp_path, "account", "create-authorisation-token", table="api_key"
        )
    assert (ran.status, AGAIN in ran.err) == (0, True), ran
    tokens = await rackless.get("account/", op="list_authorisation_tokens")
    assert len(tokens) == before + 1
    assert ran.plain["token_key"] in str(tokens)


async def test_a_refresh_that_failed_without_a_rack_is_not_repeated(rackless: Deployment, tmp_path: Path) -> None:
    host = await rackless.add_simulated()
    async with logged_in(rackless, tmp_path):
        ran = await finished(await started(tmp_path, "vm-host", "refresh", str(host["id"])))
    assert (ran.status, "rack" in ran.err) == (6, True), ran
    assert "sent again" not in ran.err
    assert "--idempotency-key" not in ran.err


@pytest.mark.slow
async def test_a_region_that_restarts_during_a_compose_is_waited_for(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, killable=True) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(cores=8)
        async with logged_in(innkeeper, tmp_path):
            with innkeeper.held("create volume"):
                words = ("vm-host", "compose", str(host["id"]), "cores=1", "memory=1024")
                process = await started(tmp_path, *words)
                await eventually(lambda: innkeeper.get("machines/"))
                await innkeeper.restart("region")
            ran, _ = await asyncio.gather(finished(process), eventually(innkeeper.is_linked))
        assert (ran.status, AGAIN.partition(" in ")[0] in ran.err) == (0, True), ran
        assert [one["system_id"] for one in await innkeeper.get("machines/")] == [ran.plain["system_id"]]

"""What users and hosts ask of a region costs it no more statements, round trips and bytes than the table allows."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.bench.prefilled import prefill
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.budgets import table
from tests.budgets.counting import least, name_tasks
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient
from tests.support.clock import advance, in_no_time
from tests.support.waiting import eventually, settle

pytestmark = pytest.mark.database
HOSTS, MACHINES_EACH = 20, 10
_DUE_WITHIN = "select host_id from vm_host_schedule where next_refresh_at < now() + interval '{}'"
_IS_REPORTED, _IS_DUE = _DUE_WITHIN.format("1 minute"), _DUE_WITHIN.format("2 seconds")


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    name_tasks(monkeypatch)


@pytest.fixture
def region(named: None, rackless: Deployment) -> Deployment:
    """A region with a host that has room for the composes of a test."""
    settle(rackless.start_rack())
    settle(rackless.add_simulated(cores=64, memory_mib=2**18))
    return rackless


@pytest.fixture
def fleet(named: None, rackless: Deployment) -> Deployment:
    settle(prefill(rackless.dsn, hosts=HOSTS, machines_each=MACHINES_EACH))
    return rackless


async def check(row: str, monkeypatch: pytest.MonkeyPatch, work: Any, **options: Any) -> None:
    found, statements = await least(work, monkeypatch, **options)
    budget = table.BUDGETS[row]
    assert not found.exceeds(budget), f"{row}:\n{found}, allowed are\n{budget}\n{statements}"


async def compose(region: Deployment) -> Any:
    answer = await region.send("POST", f"vm-hosts/{region.hosts['sim']}/", op="compose", fields={"cores": "1"})
    return answer


async def test_a_compose(region: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> int:
        return len((await compose(region)).body)

    await check(table.COMPOSE, monkeypatch, work)


async def test_a_power_on(region: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    system_id = (await compose(region)).json()["system_id"]

    async def power(op: str) -> int:
        return len((await region.send("POST", f"machines/{system_id}/", op=op, fields={"force": "true"})).body)

    await check(table.POWER_ON, monkeypatch, lambda: power("power_on"), before=lambda: power("power_off"))


async def test_a_refresh_without_a_change(region: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    await compose(region)
    await check(table.REFRESH, monkeypatch, lambda: _refresh(region))


async def test_a_compose_with_its_events(region: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    async def reported() -> Any:
        await advance(1.0)
        return await region.fetch(_IS_REPORTED)

    async def work() -> int:
        await compose(region)
        await eventually(reported)
        return await _refresh(region) if await region.fetch(_IS_DUE) else 0

    async def before() -> None:  # as the periodic refreshes of these tests
        await region.fetch("update vm_host_schedule set next_refresh_at = now() + interval '1 hour'")

    await check(table.WITH_EVENTS, monkeypatch, work, before=before)


async def _refresh(region: Deployment) -> int:
    await region.region.components.schedule.refresher.refresh(region.hosts["sim"])
    return 0


async def test_a_page_of_100_machines(fleet: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    await check(table.MACHINES, monkeypatch, lambda: _list(fleet, "machines/?limit=100"))


async def test_a_list_of_hosts(fleet: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    await check(table.HOSTS, monkeypatch, lambda: _list(fleet, "vm-hosts/"))


async def _list(fleet: Deployment, path: str) -> int:
    return len((await fleet.send("GET", path)).body)


async def test_the_overview_page(fleet: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_administrator_with_password(fleet)
    client = WebClient(urlsplit(fleet.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)

    async def work() -> int:
        page = await client.get("/MAAS/ui/overview")
        assert page.status == 200
        return len(page.text)

    await check(table.OVERVIEW, monkeypatch, work)


async def test_a_minute_without_requests(region: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    await region.add_simulated("other")

    async def work() -> int:
        await in_no_time(asyncio.sleep(60.0))
        return 0

    await check(table.IDLE, monkeypatch, work, every_task=True)

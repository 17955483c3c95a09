"""Health of a real region: its parts, and the answers for load balancers."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import treq
from twisted.internet.error import ConnectError

from common.errors import DatabaseUnavailable
from common.process.deferreds import from_deferred
from common.process.systemd_notify import ServiceManager
from regiond.db.migration_files import packaged
from regiond.db.pool import Database
from regiond.process.settings import RegionSettings
from regiond.service import RegionService
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.postgresql.database import execute
from tests.support.clock import advance
from tests.support.ports import free_port
from tests.support.waiting import eventually


async def details(region: Deployment) -> tuple[int, Any]:
    url = region.region.api_url.removesuffix("MAAS/")
    response = await from_deferred(treq.get(f"{url}healthz/details", persistent=False))
    return response.code, await from_deferred(response.json())


async def test_a_region_says_which_part_is_missing(tmp_path: Path, database_url: str) -> None:
    nowhere = f"syslog+unix://{tmp_path}/nowhere"
    async with deployed(tmp_path, database_url, audit_export=nowhere) as region:
        database = region.region.components.database
        assert await _problems(region) == (200, "degraded", {"racks": "No rack is linked to this region."})
        await region.start_rack()
        await region.post("tags/", name="first")

        async def only_the_export() -> bool:
            return await _problems(region) == (
                200, "degraded", {"audit_export": "The audit trail cannot be sent: see the log."},
            )  # fmt: skip

        await eventually(only_the_export)
        await _is_not_named(database, region)
        newest = packaged()[-1]
        await execute(database, "delete from schema_migration where number = $1", newest.number)
        status, state, problems = await _problems(region)
        assert (status, state) == (503, "not ready")
        assert problems["schema"].startswith(f"The database lacks {newest.name}.")
        database.reject_all("The database is gone.")
        status, state, problems = await _problems(region)
        assert (status, problems["database"], problems["schema"]) == (503, *["The database is gone."] * 2)
        assert str(tmp_path) not in str(problems)


async def _is_not_named(database: Database, region: Deployment) -> None:
    """Errors of connections name the database, and anybody can read the page."""
    deadline_s = database.acquire_deadline_s
    async with AsyncExitStack() as held:
        for _ in range(database.pool_use.limit):
            await held.enter_async_context(database.connection())
        database.acquire_deadline_s = 0.1
        with pytest.raises(DatabaseUnavailable, match=re.escape(database.described)):
            await region.region.components.heartbeat.write()
        status, _, problems = await _problems(region)
        database.acquire_deadline_s = deadline_s
    unusable = "The database cannot be used: see the log."
    assert (status, problems["database"], problems["schema"]) == (503, unusable, unusable)


@pytest.mark.slow
async def test_a_stopped_region_serves_until_load_balancers_know(tmp_path: Path, database_url: str) -> None:
    settings = RegionSettings(
        database=database_url, state=tmp_path, http_port=free_port(), rpc_port=0, metrics_host="", drain_s=20
    )
    url = f"http://127.0.0.1:{settings.http_port}/"
    serving = asyncio.create_task(RegionService(settings, ServiceManager({})).serve())

    async def answer(path: str) -> tuple[int, str]:
        try:
            response = await from_deferred(treq.get(f"{url}{path}", persistent=False))
        except ConnectError:
            return 0, ""
        return response.code, await from_deferred(response.text())

    async def answers(path: str, status: int) -> bool:
        return (await answer(path))[0] == status

    await eventually(lambda: answers("healthz/ready", 200))
    serving.cancel()
    await eventually(lambda: answers("healthz/ready", 503))
    assert await answer("healthz/ready") == (503, "not ready: The region is stopping.")
    assert (await answer("MAAS/api/2.0/version/"))[0] == 200
    await advance(settings.drain_s)
    await asyncio.gather(serving, return_exceptions=True)
    assert await answer("healthz/live") == (0, "")


async def _problems(region: Deployment) -> tuple[int, str, dict[str, str]]:
    status, found = await details(region)
    assert {"database", "schema", "heartbeat", "notifications", "operations", "racks", "audit"} <= found["parts"].keys()
    reasons = {name: part["reason"] for name, part in found["parts"].items() if part["status"] != "ok"}
    return status, found["status"], reasons

"""A read-only database: reads work, changes fail with the reason, and the region recovers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.errors import InnkeeperError, LinkLost
from innkeeper.http import Api
from regiond.commands.admin_commands import check
from regiond.db.pool import connect
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.postgresql.database import with_option
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

COMPOSE = {"cores": 1, "memory": 1024}


async def set_read_only(dsn: str, how: str) -> None:
    """Changes the mode for new connections; `on` closes all open connections, as a failover does."""
    db = await connect(with_option(dsn, "default_transaction_read_only=off"), application_name="test")
    name = urlsplit(dsn).path.strip("/")
    await db.execute(f'alter database "{name}" set default_transaction_read_only = {how}')
    if how == "on":
        await db.execute(
            # Waits for the end of each: one that is still ending would answer a request with an error.
            "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
            " where datname = $1 and pid <> pg_backend_pid()",
            name,
        )
    await db.close()


async def health(innkeeper: Deployment) -> str:
    """Returns `ready` or the error message."""
    root = innkeeper.region.api_url.removesuffix("MAAS/")
    try:
        return (await Api(root, None).get("healthz/ready")).body.decode()
    except LinkLost:
        raise
    except InnkeeperError as error:
        return error.message


@pytest.mark.slow
@pytest.mark.needs_owner
@pytest.mark.own_database  # its sessions are ended, all of them
async def test_a_read_only_database_rejects_changes_until_it_recovers(
    tmp_path: Path, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with deployed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        first = await innkeeper.compose(host["id"], hostname="first", **COMPOSE)
        with innkeeper.held("create volume"):
            operation = await innkeeper.post(f"vm-hosts/{host['id']}/", op="compose", headers=ASYNC, hostname="second")
            await eventually(lambda: innkeeper.region.components.engine.running)
            await set_read_only(database_url, "on")
        await eventually(lambda: _health_contains(innkeeper, "read-only"))  # after the errors of the closed connections
        assert [one["name"] for one in await innkeeper.get("vm-hosts/")] == ["sim"]
        reply = await innkeeper.get(f"machines/{first['system_id']}/", op="query_power_state")
        assert reply == {"state": "off"}  # queries the host
        assert (await innkeeper.get(f"operations/{operation['id']}/"))["state"] == "running"
        with pytest.raises(InnkeeperError, match="database is read-only: requests that change") as rejected:
            await innkeeper.compose(host["id"], **COMPOSE)
        assert rejected.value.details["status"] == 503
        (problem,) = await check(innkeeper.in_process.settings)
        assert problem.startswith("The database is read-only")
        await eventually(lambda: not innkeeper.region.components.engine.running)  # the result could not be recorded
        await asyncio.gather(*(_rejected(innkeeper, host["id"]) for _ in range(20)))
        await set_read_only(database_url, "off")
        await eventually(lambda: _is_ready(innkeeper))
        async with innkeeper.region.components.database.connection() as db:
            await db.execute("update operation set lease_until = now() where lease_until is not null")
        # A new attempt after the lease lapsed completes the existing guest.
        await innkeeper.wait_for_state(operation["id"], "succeeded")
        assert innkeeper.simulated_guests() == ["first", "second"]
        await innkeeper.compose(host["id"], **COMPOSE)
    output = "".join(capfd.readouterr())
    assert "Traceback" not in output
    assert output.count("operation_acquire") < 5  # rate-limited, not every two seconds


async def _health_contains(innkeeper: Deployment, text: str) -> bool:
    return text in await health(innkeeper)


async def _is_ready(innkeeper: Deployment) -> bool:
    return await health(innkeeper) == "ready"


async def _rejected(innkeeper: Deployment, host_id: int) -> None:
    with pytest.raises(InnkeeperError, match="read-only"):
        await innkeeper.compose(host_id, **COMPOSE)

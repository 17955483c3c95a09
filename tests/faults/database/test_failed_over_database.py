"""The primary of the database is killed under load and its synchronous standby promoted: nothing is lost.

Then the former primary is the only one that accepts writes: the region rejects it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.errors import InnkeeperError
from development.postgres import DATABASE
from innkeeper.http import Api
from tests.deployment.deployment import Deployment
from tests.deployment.processes import Processes
from tests.deployment.runner import REGION
from tests.faults.composing_clients import ComposingClients
from tests.faults.consistency import assert_consistent, settle
from tests.faults.database.replication import Replication, replication
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

HOSTS = ("east", "west")
ENOUGH = 8  # requests that are answered before and after
_MOVED_ON = "select kind from event where kind in ('region_restored', 'database_failed_over')"
_WRITTEN = "select max(id), (select max(seen_at) from region_process), (select max(id) from event) from operation"
READY_WITHIN_S = 20.0  # after the promotion, measured: 0.3 to 0.8 s, 3.5 s on a machine with ten times its load


@pytest.fixture
def pair() -> Iterator[Replication]:
    with replication(synchronous=True) as made:
        yield made


@pytest.fixture
def deployment(tmp_path: Path, pair: Replication) -> Iterator[Deployment]:
    made = Deployment(runner=Processes(folder=tmp_path, server_folder=tmp_path, dsn=pair.dsn))
    yield made
    made.processes.kill_all()


async def health(deployment: Deployment) -> str:
    """Returns `ready` or why the region is not, as a load balancer reads it."""
    root = f"http://127.0.0.1:{deployment.processes.http_port}/"
    try:
        return (await Api(root, None).get("healthz/ready")).body.decode()
    except InnkeeperError as error:
        return error.message


async def test_a_promoted_synchronous_standby_has_everything(
    deployment: Deployment, pair: Replication, record_property: Callable[[str, object], None]
) -> None:
    await deployment.start_region_and_rack()
    ids = [(await deployment.add_simulated(name, cores=64, memory_mib=262144))["id"] for name in HOSTS]
    async with ComposingClients(deployment, ids).running() as clients:
        await clients.more(ENOUGH)
        pair.primary.kill()

        async def said() -> str | None:
            found = await health(deployment)
            return found if "1 is a standby" in found else None

        assert "no primary: of 2 servers, 1 cannot be reached, 1 is a standby." in await eventually(said)
        await asyncio.to_thread(pair.promote)
        promoted_at = time.monotonic()
        await eventually(deployment.processes.region_is_ready)
        record_property("ready_after_s", round(time.monotonic() - promoted_at, 2))
        assert time.monotonic() - promoted_at < READY_WITHIN_S
        await clients.more(ENOUGH)
    await settle(deployment, ids)
    machines = {one["hostname"]: one["system_id"] for one in await deployment.get("machines/")}
    assert machines == clients.answered
    assert len(await assert_consistent(deployment)) == len(clients.answered)
    assert await deployment.discrepancies() == []
    assert [row[0] for row in await deployment.fetch(_MOVED_ON)] == ["database_failed_over"]
    await reject_former_primary(deployment, pair)


async def reject_former_primary(deployment: Deployment, pair: Replication) -> None:
    """The first server returns as its own primary, and the second is lost."""
    with (pair.primary.data / "postgresql.auto.conf").open("a") as settings:
        settings.write("synchronous_standby_names = ''\n")
    pair.primary.start()
    before = pair.primary.sql(_WRITTEN, database=DATABASE)
    pair.standby.kill()

    async def is_rejected() -> bool:
        return "1 cannot be reached, 1 is a former primary" in await health(deployment)

    await eventually(is_rejected)
    with pytest.raises(InnkeeperError, match="former primary"):
        await deployment.post("tags/", name="lost")
    deployment.kill(REGION)
    again = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "regiond", "run", env=deployment.processes.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, said = await again.communicate()
    assert again.returncode != 0
    assert b"former primary" in said
    assert pair.primary.sql(_WRITTEN, database=DATABASE) == before

"""The primary is down, and the standby has other rules for logins: an outage, no error in the settings."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import InnkeeperError
from common.process.daemon import FAILED
from development.postgres import ROLE
from tests.deployment.deployment import Deployment
from tests.deployment.processes import Processes
from tests.deployment.runner import REGION
from tests.faults.database.replication import PASSWORD, Replication, replication
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def pair() -> Iterator[Replication]:
    with replication(synchronous=False) as made:
        yield made


@pytest.fixture
def deployment(tmp_path: Path, pair: Replication) -> Iterator[Deployment]:
    made = Deployment(runner=Processes(folder=tmp_path, server_folder=tmp_path, dsn=pair.dsn))
    yield made
    made.processes.kill_all()


async def test_the_region_tries_again_until_the_primary_is_back(deployment: Deployment, pair: Replication) -> None:
    rules = pair.standby.data / "pg_hba.conf"
    rules.write_text(rules.read_text().replace("scram-sha-256", "reject"))
    pair.standby.sql("select pg_reload_conf()")
    await deployment.start_region_and_rack()
    pair.primary.kill()

    async def said() -> str:
        try:
            await deployment.post("tags/", name="lost")
        except InnkeeperError as error:
            return error.message if error.details["status"] == 503 and "1 rejects the login" in error.message else ""
        return ""

    message = await eventually(said)
    assert f"{pair.primary.port} cannot be reached" in message
    assert f"{pair.standby.port} rejects the login (pg_hba.conf rejects connection" in message
    assert ROLE not in message
    assert PASSWORD not in message
    deployment.kill(REGION)
    again = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "regiond", "run", env=deployment.processes.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, printed = await again.communicate()
    assert (again.returncode, b"rejects the login" in printed) == (FAILED, True), printed
    pair.primary.start()
    await deployment.processes.start_region()
    assert (await deployment.post("tags/", name="kept"))["name"] == "kept"

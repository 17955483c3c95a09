"""Two releases on one database: an older region does not start, and a running one stops after a migration."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.errors import BadSettings, InnkeeperError
from common.process.systemd_notify import ServiceManager
from regiond.db.migrate import migrate
from regiond.db.migration_files import packaged
from regiond.db.pool import connect
from regiond.process.settings import RegionSettings
from regiond.service import RegionService
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.postgresql.later_migrations import NEWER
from tests.support.waiting import eventually


async def upgrade(dsn: str) -> None:
    """Migrates as the first region of release 9.0.0 does."""
    await migrate(dsn, [*packaged(), NEWER], release="9.0.0")


async def test_an_older_region_does_not_start_and_names_both_releases(tmp_path: Path, database_url: str) -> None:
    await upgrade(database_url)
    settings = RegionSettings(
        database=database_url, state=tmp_path / "region", http_port=0, rpc_port=0, metrics_host=""
    )
    message = r"Innkeeper 9\.0\.0 applied 9000_next\.sql, which Innkeeper"
    with pytest.raises(BadSettings, match=message):
        await RegionService(settings, ServiceManager({})).serve()


async def test_a_running_region_stops_writing_after_a_newer_migration(innkeeper: Deployment, database_url: str) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        operation = await innkeeper.post(f"vm-hosts/{host['id']}/", op="compose", headers=ASYNC, hostname="vm")
        components = innkeeper.region.components
        await eventually(lambda: components.engine.running)
        await upgrade(database_url)
        with pytest.raises(BadSettings, match=r"Install 9\.0\.0 or a newer release on this computer"):
            await asyncio.wait_for(components.schema_version.outdated(), 60)
        for path in ("machines/", f"operations/{operation['id']}/"):
            with pytest.raises(InnkeeperError, match="newer than this release") as rejected:
                await innkeeper.get(path)
            assert rejected.value.details["status"] == 503
    db = await connect(database_url, application_name="test")
    before = await db.fetchrow("select attempt, step, lease_owner, state from operation where id = $1", operation["id"])
    await eventually(lambda: not components.engine.running)
    after = await db.fetchrow("select attempt, step, lease_owner, state from operation where id = $1", operation["id"])
    assert after == before  # its lease lapses, and a newer region continues
    # So that the stopping region finds its own schema version.
    await db.execute("delete from schema_migration where number = 9000")
    await db.close()

"""Two releases on one database: the older one does not start, and one that runs ends when the newer one migrates."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from attrs import evolve

from common.errors import BadSettings, InnkeeperError
from common.systemd_notify import ServiceManager
from regiond.db.migrate import migrate, migration, packaged
from regiond.db.pool import Database, connect
from regiond.service import RegionService
from regiond.settings import RegionSettings
from tests.installation import installed
from tests.waiting import eventually

pytestmark = pytest.mark.same_sql

NEWER = migration("9000_next.sql", "alter table machine add column stars integer not null default 1;")


async def upgrade(dsn: str) -> None:
    """What the first region of release 9.0.0 does."""
    with pytest.MonkeyPatch.context() as release:
        release.setattr("regiond.db.migrate.RELEASE", "9.0.0")
        await migrate(dsn, [*packaged(), NEWER])


async def test_an_older_region_does_not_start_and_names_both_releases(tmp_path: Path, database_url: str) -> None:
    await upgrade(database_url)
    settings = RegionSettings(database=database_url, state=tmp_path / "region", http_port=0, rpc_port=0)
    told = r"9000_next\.sql was applied to it by Innkeeper 9\.0\.0, and this is Innkeeper"
    with pytest.raises(BadSettings, match=told):
        await RegionService(settings, ServiceManager({})).serve()


async def test_a_region_that_runs_notices_at_once_that_a_newer_release_migrated_and_writes_no_more(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        with innkeeper.held("make volume"):
            begun = await innkeeper.post(
                f"vm-hosts/{host['id']}/", op="compose", headers={"Prefer": "respond-async"}, hostname="inn"
            )
            parts = innkeeper.region.parts
            await eventually(lambda: parts.engine.running)
            await upgrade(database_url)
            with pytest.raises(BadSettings, match=r"Install 9\.0\.0 on this machine too"):
                await asyncio.wait_for(parts.release.outdated(), 5.0)
            for path in ("machines/", f"operations/{begun['id']}/"):
                with pytest.raises(InnkeeperError, match="newer than this release") as refused:
                    await innkeeper.get(path)
                assert refused.value.details["status"] == 503
        db = await connect(database_url, application_name="test")
        before = await db.fetchrow("select attempt, step, lease_owner, state from operation where id = $1", begun["id"])
        await eventually(lambda: not parts.engine.running)
        after = await db.fetchrow("select attempt, step, lease_owner, state from operation where id = $1", begun["id"])
        assert after == before  # left to its lease, for a region that knows what a row looks like
        # The installation ends with a look at its ledger, through a pool that is not refused.
        await db.execute("delete from schema_migration where number = 9000")
        await db.close()
        await innkeeper.region.parts.database.close()
        opened = await Database.open(database_url)
        innkeeper.region = evolve(innkeeper.region, parts=evolve(parts, database=opened))
    await opened.close()

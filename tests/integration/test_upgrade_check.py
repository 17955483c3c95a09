"""`innkeeper region upgrade-check` on real databases."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.release import running_release
from regiond.audit.service import Audit, local_request
from regiond.db import migrate as migrations
from regiond.db.migrate import migrate
from regiond.db.migration_files import packaged
from regiond.db.pool import Database
from regiond.settings import RegionSettings
from regiond.upgrades.service import check_upgrade
from tests.database import execute, execute_as_superuser
from tests.later_migrations import COMPATIBLE, NEWER

pytestmark = pytest.mark.database
_ROWS = """
    insert into operation (kind, max_failures) values ('compose', 1), ('refresh', 1);
    insert into region_process (id, hostname, pid, release) values (gen_random_uuid(), 'east boot 7', 1, '1.0.0');
    insert into rack (id, name, certificate_fingerprint, certificate_expires_at, lowest_version, highest_version)
    values (gen_random_uuid(), 'old', 'x', now(), 0, 0);
"""


async def found(dsn: str, *problems: str) -> dict[str, Any]:
    return {one.check: one for one in await check_upgrade(RegionSettings(database=dsn), problems)}


@pytest.mark.needs_owner
async def test_the_state_of_the_database_is_reported(database: Database, database_url: str) -> None:
    quiet = await found(database_url)
    assert {one.check for one in quiet.values() if one.level == "attention"} == {"backup"}
    assert "blocker" not in {one.level for one in quiet.values()}
    await execute(database, _ROWS)
    async with Audit(database).recorded(local_request("backup")):
        pass
    busy = await found(database_url, "environment: unknown variable INNKEEPER_COLOUR.")
    assert {one.check: one.level.value for one in busy.values() if one.level != "ok"} == {
        "settings": "blocker", "operations": "attention", "racks": "blocker",
    }  # fmt: skip
    assert "2 open operations: 1 compose, 1 refresh." in busy["operations"].message
    assert "1 region running: east (1.0.0)." in busy["regions"].message
    assert "too old for this build: old" in busy["racks"].message
    await execute_as_superuser(database_url, "create table note (id integer)")  # of somebody else
    assert (await found(database_url))["role"].level == "ok"
    await execute(database, "revoke select on machine from current_user")
    assert "may not read machine" in (await found(database_url))["role"].message


@pytest.mark.needs_owner
async def test_a_newer_schema_stops_the_upgrade_unless_it_is_usable(database_url: str) -> None:
    await migrate(database_url, [*packaged(), COMPATIBLE], release="9.0.0")
    assert (await found(database_url))["schema"].level == "ok"
    await migrate(database_url, [*packaged(), COMPATIBLE, NEWER], release="9.0.0")
    newer = (await found(database_url))["schema"]
    assert (newer.level.value, "Innkeeper 9.0.0 applied" in newer.message) == ("blocker", True)


async def test_settings_that_do_not_fit_together_are_a_finding(database_url: str) -> None:
    settings = RegionSettings(database=database_url, tls_key=Path("region.key"))
    found = {one.check: one for one in await check_upgrade(settings)}
    assert (found["settings"].level.value, "tls_certificate is not" in found["settings"].message) == ("blocker", True)
    assert found["schema"].level == "ok"


@pytest.mark.slow
async def test_a_role_that_may_not_migrate_is_told_how(restricted_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await found(restricted_url))["role"].level == "ok"
    monkeypatch.setattr(migrations, "packaged", lambda: (*packaged(), COMPATIBLE))
    newer = await found(restricted_url)
    assert newer["schema"].message == f"1 migration will be applied: {COMPATIBLE.name}."
    assert newer["role"].level == "attention"
    assert "innkeeper region migrate" in str(newer["role"].remedy)


@pytest.mark.slow
async def test_the_command_prints_json_and_exits_with_1(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "regiond.toml"
    file.write_text(f'database = "{empty_database_url}"\nstate = "{tmp_path}"\n')
    monkeypatch.delenv("INNKEEPER_DATABASE", raising=False)

    async def run(*options: str) -> tuple[int, str]:
        ran = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "regiond", "--config", str(file), "upgrade-check", *options],
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        return ran.returncode, ran.stdout + ran.stderr

    status, text = await run()
    assert (status, "The database is empty: this is no upgrade." in text) == (0, True), text
    assert text.endswith("Nothing would stop the upgrade.\n")
    file.write_text(f'{file.read_text()}colour = "red"\n')
    status, text = await run("-o", "json")
    answer = json.loads(text)
    assert (status, answer["stops"], answer["release"]) == (1, True, running_release())
    assert "unknown key 'colour'" in answer["findings"][0]["message"]
    assert [one["check"] for one in answer["findings"]] == ["settings", "database", "schema"]

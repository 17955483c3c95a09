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
from regiond.commands.upgrades.service import check_upgrade
from regiond.db import migrate as migrations
from regiond.db.migrate import migrate
from regiond.db.migration_files import packaged
from regiond.db.pool import Database
from regiond.process.settings import RegionSettings
from tests.postgresql.database import execute, execute_as_superuser
from tests.postgresql.later_migrations import COMPATIBLE, NEWER

pytestmark = pytest.mark.database
_ROWS = """
    insert into operation (kind, max_failures) values ('compose', 1), ('refresh', 1);
    insert into region_process (id, hostname, pid, release) values (gen_random_uuid(), 'east boot 7', 1, '1.0.0');
    insert into rack (id, name, certificate_fingerprint, certificate_expires_at, lowest_version, highest_version)
    values (gen_random_uuid(), 'old', 'x', now(), 0, 0);
"""


_MACHINES = """
    insert into account (username) values ('ann');
    insert into server (identity, architecture, hypervisor_version, cores, memory_mib)
    values ('s', 'amd64', '1', 9, 9216);
    insert into vm_host (name, driver, address, server_id, zone_id, pool_id, system_id)
    select 'h', 'simulated', 'h', id, 1, 0, 'hosth1' from server;
    insert into machine (uuid, system_id, hostname, host_id, pool_id, zone_id, state, power_state, architecture, cores,
                         memory_mib, adopted, wanted_power, owner_id)
    select gen_random_uuid(), w.name, w.name, h.id, 0, 1, 'ready', case w.name when 'running' then 'on' else 'off' end,
           'amd64', 1, 1024, w.name = 'adopted', case w.name when 'stopped-with-host' then 'on' else 'off' end,
           case w.name when 'owned' then (select id from account where username = 'ann') end
      from vm_host h, unnest(array['free', 'running', 'adopted', 'stopped-with-host', 'measured', 'iso', 'console',
                                   'started', 'emptied', 'imported', 'composed-on', 'kept', 'owned', 'stopped'])
           w (name);
    insert into machine_usage (machine_id, measured_since, measured_at)
    select id, now(), now() from machine where hostname = 'measured';
    insert into guest (server_id, guest_key, name, power_state, cores, memory_mib, machine_id, iso)
    select s.id, 'iso', 'iso', 'off', 1, 1024, m.id, 'abc' from machine m, server s where hostname = 'iso';
    insert into event (kind, level, message, system_id) values ('console_opened', 'info', '', 'console');
    insert into operation (kind, max_failures, state, machine_id, account_id, request, created_at, finished_at)
    select o.kind, 1, 'succeeded', m.id, (select id from account where username = 'ann'), o.request::jsonb,
           now() - o.age, now() - o.age
      from machine m join (values
           ('free', 'compose', '{"power_on": false}', interval '9 h'),
           ('started', 'power', '{"action": "on"}', interval '1 h'),
           ('stopped', 'power', '{"action": "off"}', interval '1 h'),
           ('emptied', 'power', '{"action": "on"}', interval '3 h'),
           ('emptied', 'release', '{"deployed": true}', interval '2 h'),
           ('console', 'release', '{"deployed": false, "erase": false}', interval '-1 h'),
           ('imported', 'compose', '{"import": {}}', interval '9 h'),
           ('composed-on', 'compose', '{"power_on": true}', interval '9 h'),
           ('kept', 'add_disk', '{"kept": {"id": 1}}', interval '1 h'),
           ('free', 'add_disk', '{"kept": null}', interval '1 h')
      ) o (name, kind, request, age) on o.name = m.hostname;
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


@pytest.mark.needs_owner
async def test_machines_that_become_in_use_are_named_before(empty_database_url: str) -> None:
    before = [one for one in packaged() if one.number < 27]
    await migrate(empty_database_url, before)
    database = await Database.open(empty_database_url, min_size=1, max_size=1)
    await execute(database, _MACHINES)
    used = ["adopted", "composed-on", "console", "imported", "iso", "kept", "measured", "running", "started"]
    used = sorted([*used, "stopped-with-host"])
    finding = (await found(empty_database_url))["stock"]
    assert (finding.level.value, finding.message.rpartition(": ")[2]) == ("attention", ", ".join(used))
    await migrate(empty_database_url, packaged())
    async with database.connection() as db:
        in_use = await db.fetch("select hostname from machine where not is_stock and owner_id is null order by 1")
        assert [row["hostname"] for row in in_use] == used
        maker = "select username from account a join machine m on m.composed_by_id = a.id where hostname = $1"
        assert [await db.fetchval(maker, name) for name in ("composed-on", "adopted")] == ["ann", None]
    await database.close()
    assert (await found(empty_database_url))["stock"].level == "ok"


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

"""`regiond restore`: what it refuses, and how it moves a database on. No daemon runs here."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from common.errors import BadSettings, WrongState
from regiond.audit.service import Audit
from regiond.backup.model import BackupFailed
from regiond.backup.target import Target
from regiond.backup.writing import Source, write_backup
from regiond.commands.admin_commands import first_administrator
from regiond.commands.backup_commands import restore
from regiond.commands.database_setup.service import change_own_schema
from regiond.credentials.master_key import open_master_key
from regiond.db.migrate import migrate
from regiond.db.migration_files import UNFINISHED_RESTORE, packaged
from regiond.db.pool import Database
from regiond.process.settings import RegionSettings
from regiond.racks.enrolment.installation import open_authority
from regiond.wiring.storage import open_storage
from tests.postgresql.database import execute, execute_as_superuser, fetchval

pytestmark = pytest.mark.database
PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105
_ROWS = """
    insert into account (username) values ('ann');
    insert into server (identity, architecture, hypervisor_version, cores, memory_mib)
        values ('s', 'x86_64', '1', 64, 65536);
    insert into vm_host (name, driver, address, system_id, server_id, state)
        values ('west', 'simulated', 'simulated:west', 'hst1', 1, 'ready'),
               ('east', 'simulated', 'simulated:east', 'hst2', 1, 'removing');
    insert into vm_host_schedule (host_id, next_refresh_at) values (1, now() + interval '1 hour');
    insert into machine (uuid, system_id, hostname, host_id, state, architecture, cores, memory_mib, owner_id)
        select gen_random_uuid(), 'm' || n, 'vm' || n, 1, state, 'amd64', 1, 1024, owner
          from (values (1, 'composing', null), (2, 'deleting', null), (3, 'releasing', 1), (4, 'ready', null),
                       (5, 'adopting', null), (6, 'deploying', 1)) one (n, state, owner);
    insert into operation (id, kind, state, host_id, machine_id, attempt, max_failures, request, lease_owner)
        values (11, 'compose', 'running', 1, 1, 3, 5, '{}', gen_random_uuid()),
               (12, 'delete', 'waiting', 1, 2, 1, 5, '{"was": "ready"}', null),
               (13, 'release', 'undoing', 1, 3, 1, 5, '{"was": "broken"}', null),
               (14, 'power', 'succeeded', 1, 4, 1, 5, '{}', null);
    select setval('operation_id_seq', 14);
    insert into tombstone (machine_uuid, hostname, host_name, reason)
        values (gen_random_uuid(), 'gone', 'west', 'it was deleted');
    insert into web_session (account_id, token_hash, expires_at, idle_ends_at, address, user_agent)
        values (1, sha256('x'), now() + interval '1 hour', now() + interval '1 hour', '', '');
    insert into idempotency_key (account_id, key, request_hash, operation_id) values (1, 'ended', 'x', 14);
    insert into idempotency_key (account_id, key, request_hash, lease_ends_at)
        values (1, 'ran', 'x', now() + interval '1 hour');
"""
_AFTER = """
    select jsonb_build_object(
        'machines', (select jsonb_object_agg(hostname, state) from machine),
        'operations', (select jsonb_object_agg(id, state) from operation),
        'hosts', (select jsonb_object_agg(name, state) from vm_host),
        'due', (select bool_and(next_refresh_at <= now()) from vm_host_schedule),
        'tombstones', (select count(*) from tombstone),
        'sessions', (select count(*) from web_session),
        'keys', (select jsonb_object_agg(key, coalesce(operation_id::text, (lease_ends_at < now())::text))
                   from idempotency_key),
        'reason', (select error_message from operation where id = 11),
        'events', (select count(*) from event where kind = 'region_restored'))
"""


@pytest.fixture
def settings(empty_database_url: str, tmp_path: Path) -> RegionSettings:
    """Of the new machine."""
    return RegionSettings(database=empty_database_url, state=tmp_path / "new")


async def backed_up(
    database: Database, dsn: str, folder: Path, file: str = "backup", *, store_id: str | None = None
) -> Path:
    async with database.transaction() as db:
        authority = await open_authority(db, folder / "old")
    source = Source(
        dsn=dsn, master_key=open_master_key(folder / "old", {}, create=True), settings=b'log_level = "debug"\n',
        authority_pem=(authority.key_pem + authority.certificate_pem).encode(), store_id=store_id,
    )  # fmt: skip
    target = Target.open(folder / file)
    await write_backup(source, target.file, PASSPHRASE, work_factor=2)
    target.commit()
    return folder / file


async def open_region(settings: RegionSettings) -> None:
    async with AsyncExitStack() as running:
        await open_storage(settings, running)


async def restored(settings: RegionSettings, path: Path) -> str:
    with path.open("rb") as file:
        return await restore(settings, file, PASSPHRASE, {})


@pytest.mark.needs_owner
async def test_a_restore_moves_on_and_repeats_nothing(
    database: Database, database_url: str, settings: RegionSettings, tmp_path: Path
) -> None:
    await execute(database, _ROWS)
    path = await backed_up(database, database_url, tmp_path)
    said = await restored(settings, path)
    assert "3 open operations ended, 5 VMs in transition settled. 2 VM hosts will be refreshed" in said
    opened = await Database.open(settings.required_database, min_size=1, max_size=1)
    try:
        found: dict[str, Any] = await fetchval(opened, _AFTER)
        assert "restored from a backup of" in found.pop("reason")
        assert found == {
            "machines": {"vm1": "missing", "vm2": "ready", "vm3": "broken", "vm4": "ready", "vm5": "missing",
                         "vm6": "failed_deployment"},
            "operations": {"11": "failed", "12": "failed", "13": "failed", "14": "succeeded"},
            "hosts": {"west": "unreachable", "east": "unreachable"},
            "due": True, "tombstones": 0, "sessions": 0, "keys": {"ended": "14", "ran": "true"}, "events": 1,
        }  # fmt: skip
        insert = "insert into operation (kind, max_failures) values ('power', 1) returning id"
        assert await fetchval(opened, insert) == 14 + 1_000_000 + 1
        assert await fetchval(opened, "insert into zone (name) values ('x') returning id") > 100_000
        assert (await Audit(opened).verify()).problems == ()
    finally:
        await opened.close()
    for name in ("secrets.key", "authority/authority.pem"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "old" / name).read_bytes()
        assert (tmp_path / "new" / name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new" / "regiond.toml.restored").read_text() == 'log_level = "debug"\n'
    with pytest.raises(WrongState, match=r"it has the installation .* with 6 VMs on 2 VM hosts"):
        await restored(settings, path)


@pytest.mark.needs_owner
async def test_what_could_be_lost_is_left_as_it_is(
    database: Database, database_url: str, settings: RegionSettings, tmp_path: Path
) -> None:
    path = await backed_up(database, database_url, tmp_path)
    open_master_key(settings.state, {}, create=True)  # of another installation
    with pytest.raises(WrongState, match=r"secrets.key exists and is not that of the backup"):
        await restored(settings, path)
    (settings.state / "secrets.key").unlink()
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "changed").write_bytes(changed)
    with pytest.raises(BackupFailed, match="damaged"):
        await restored(settings, tmp_path / "changed")
    await execute(
        database, "insert into schema_migration (number, name, digest, release) values (9000, '9000_x.sql', 'x', '9.9')"
    )
    newer = await backed_up(database, database_url, tmp_path, "newer")
    with pytest.raises(BackupFailed, match=r"newer than this release: it has 9000_x.sql"):
        await restored(settings, newer)
    assert not (settings.state / "secrets.key").exists()
    opened = await Database.open(settings.required_database, min_size=1, max_size=1)
    try:
        assert await fetchval(opened, "select count(*) from pg_tables where schemaname = 'public'") == 0
        await execute(opened, "create table precious (id integer)")
    finally:
        await opened.close()
    with pytest.raises(WrongState, match=r"is not empty: it has public.precious"):
        await restored(settings, path)


@pytest.mark.slow
async def test_a_missing_role_is_named_and_its_rights_are_restored(
    database: Database, database_url: str, settings: RegionSettings, tmp_path: Path
) -> None:
    role = f"reader_{uuid4().hex[:12]}"  # of the server, which other tests use too
    await execute_as_superuser(database_url, f"create role {role}; grant select on machine to {role}")
    path = await backed_up(database, database_url, tmp_path)
    await execute_as_superuser(database_url, f"drop owned by {role}; drop role {role}")
    with pytest.raises(BackupFailed, match=f'no role "{role}".*create role "{role}" nologin'):
        await restored(settings, path)
    migrated = change_own_schema(settings.required_database, settings.state, lambda _: None)
    for begins_anew in (open_region(settings), first_administrator(settings), migrated):
        with pytest.raises(BadSettings, match=r"has not ended.* delete .*/new/restore\.unfinished"):
            await begins_anew
    await execute_as_superuser(database_url, f"create role {role}")
    (settings.state / "regiond.toml.restored").write_text("of an earlier restore")
    (settings.state / ".secrets.key.k3j2h1x9").write_text("of a killed restore")
    await restored(settings, path)
    opened = await Database.open(settings.required_database, min_size=1, max_size=1)
    try:
        assert await fetchval(opened, "select has_table_privilege($1, 'machine', 'select')", role)
        usable_from = await fetchval(opened, "select array_agg(usable_from order by number) from schema_migration")
        assert usable_from == [one.usable_from for one in packaged()]
    finally:
        await opened.close()
        await execute_as_superuser(settings.required_database, f"drop owned by {role}; drop role {role}")
    assert (settings.state / "regiond.toml.restored").read_text() == 'log_level = "debug"\n'
    assert list(settings.state.glob(".secrets.key.*")) == []
    await open_region(settings)
    assert not (settings.state / "restore.unfinished").exists()


@pytest.mark.needs_owner
async def test_no_region_starts_on_an_unfinished_restore(database: Database, database_url: str) -> None:
    await execute(
        database, "insert into schema_migration (number, name, digest) values ($1, $2, $3)",
        UNFINISHED_RESTORE.number, UNFINISHED_RESTORE.name, UNFINISHED_RESTORE.digest,
    )  # fmt: skip
    with pytest.raises(BadSettings, match="A restore into this database has not ended"):
        await migrate(database_url)
    assert await migrate(database_url, (*packaged(), UNFINISHED_RESTORE)) == ()
    await execute(database, "delete from schema_migration")  # killed right after the dump
    with pytest.raises(BadSettings, match="A restore into this database has not ended"):
        await migrate(database_url)

"""`innkeeper region init` and `migrate` as programs: settings, passwords, SIGKILL, and a restore afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from attrs import define

from common.process import daemon
from development import postgres
from regiond.db.migrate import migrate
from regiond.db.pool import Database, connect
from tests.integration.backup.test_restore import backed_up
from tests.postgresql.database import as_superuser, named
from tests.support.waiting import settle

pytestmark = [pytest.mark.database, pytest.mark.slow]
PASSWORD = "vault-orbit-kettle-91"  # noqa: S105
COMMENT = "# Mine, and it stays."
_ENDS_WITHIN_S = 120
_HAS_OWNER = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"


@define
class Machine:
    """A region's computer: its settings, and an administrator of its database server."""

    folder: Path
    administrator: str
    name: str

    @property
    def config(self) -> Path:
        return self.folder / "regiond.toml"

    @property
    def dsn(self) -> str:
        return str(tomllib.loads(self.config.read_text())["database"])

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INNKEEPER_")}
        environment |= {"INNKEEPER_CONFIG": str(self.config), "BACKUP_PASSPHRASE": PASSWORD}
        program = ("regiond",) if arguments == ("run",) else ("innkeeper", "region")
        return subprocess.Popen(
            [sys.executable, "-m", *program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True,
        )  # fmt: skip

    def runs(self, *arguments: str, entered: str = "", status: int = 0) -> str:
        """Returns what the command prints."""
        process = self.started(*arguments)
        printed, _ = process.communicate(entered, timeout=_ENDS_WITHIN_S)
        assert process.returncode == status, printed
        return printed

    @property
    def of_server(self) -> tuple[str, str]:
        return f"--server={self.administrator}", f"--owner={self.name}"

    def init(self, *options: str, entered: str = f"{PASSWORD}\n", status: int = 0) -> str:
        return self.runs("init", *self.of_server, *options, entered=entered, status=status)

    async def value(self, query: str, *values: object, dsn: str | None = None) -> object:
        connection = await connect(dsn or self.dsn, application_name="test")
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()


@pytest.fixture
def machine(postgres_server: str, tmp_path: Path) -> Iterator[Machine]:
    administrator, name = named(as_superuser(postgres_server), "postgres"), f"own{uuid4().hex[:12]}"
    dsn = postgres.as_user(named(postgres_server, f"db{name}"), f"role{name}")
    made = Machine(tmp_path, administrator, name)
    made.config.write_text(f'{COMMENT}\ndatabase = "{dsn}"\nstate = "{tmp_path}/state"\nkeep_audit_days = 30\n')
    yield made
    for gone in (f"database if exists db{name} with (force)", f"role if exists role{name}", f"role if exists {name}"):
        settle(made.value(f"drop {gone}", dsn=administrator))


async def test_init_makes_what_a_region_needs_once(machine: Machine) -> None:
    said = machine.init()
    assert [line for line in said.splitlines() if line.endswith("created.")][-1] == "Administrator admin: created."
    again = machine.init(entered="")
    assert "created" not in again
    assert "Administrator admin: existed." in again
    assert await machine.value(_HAS_OWNER) == machine.name
    assert await machine.value("select at_least = interval '30 days' from audit_retention") is True
    assert machine.runs("migrate", machine.of_server[0]).splitlines()[0] == "Schema: up to date."
    assert machine.init("--owner=postgres", status=2).startswith("The role postgres exists and can log in")


async def test_init_killed_at_any_line_is_completed_by_the_next(machine: Machine) -> None:
    lines = 0
    while True:
        process = machine.started("init", *machine.of_server)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{PASSWORD}\n")
        process.stdin.close()
        seen = [line for _ in range(lines + 1) if (line := process.stdout.readline())]
        if len(seen) <= lines:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_ENDS_WITHIN_S)
        lines += 1
    assert process.wait(_ENDS_WITHIN_S) == 0, seen
    assert lines >= 8
    assert await migrate(machine.dsn) == ()
    assert await machine.value("select count(*) from account where is_admin") == 1


async def test_an_administrator_is_made_when_a_password_is_given(machine: Machine) -> None:
    assert "There is no administrator yet" in machine.init(entered="", status=1)
    assert "at least 12 characters" in machine.init(entered="short\n", status=1)
    assert "Administrator admin: created." in machine.init("-")


async def test_a_backup_is_restored_with_the_rights_of_the_owner(
    machine: Machine, database: Database, database_url: str, tmp_path: Path
) -> None:
    path = await backed_up(database, database_url, tmp_path)
    assert "Continue with: innkeeper region restore FILE" in machine.init("--for-restore", entered="")
    said = machine.runs("restore", machine.of_server[0], str(path))
    assert "was restored from a backup of" in said
    owners = "select array_agg(distinct tableowner::text) from pg_tables where schemaname = 'public'"
    assert await machine.value(owners) == [machine.name]
    assert await machine.value(f"select pg_has_role('{machine.name}', 'member')") is False
    assert await migrate(machine.dsn) == ()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await machine.value("delete from audit_retention")
    assert "Administrator admin: created." in machine.init()  # the backup had none


async def test_no_region_starts_after_a_killed_restore_until_it_is_repeated(
    machine: Machine, database: Database, database_url: str, tmp_path: Path
) -> None:
    path = await backed_up(database, database_url, tmp_path)
    machine.init("--for-restore", entered="")
    restore = ("restore", machine.of_server[0], str(path))
    logs_in = "select rolcanlogin from pg_roles where oid = (select datdba from pg_database where datname = $1)"
    waits = "select exists (select from pg_locks join pg_stat_activity using (pid) where not granted and datname = $1)"
    holder = await connect(named(machine.administrator, f"db{machine.name}"), application_name="test")
    try:
        await holder.execute("begin; create table schema_migration ()")  # the restore waits to create it
        process = machine.started(*restore)
        while not await machine.value(waits, f"db{machine.name}", dsn=machine.administrator):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_ENDS_WITHIN_S)
    finally:
        await holder.close()
    refused = machine.runs("run", status=daemon.MISCONFIGURED)
    assert "repeat `innkeeper region restore`" in refused
    assert await machine.value("select to_regclass('schema_migration') is null") is True
    assert "was restored from a backup of" in machine.runs(*restore)
    assert await machine.value(logs_in, f"db{machine.name}") is False
    assert await migrate(machine.dsn) == ()

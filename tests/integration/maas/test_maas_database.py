"""The database of a MAAS itself as a source: it is only read, within deadlines, and errors say what helps."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from common.errors import BadSettings, DatabaseUnavailable, InvalidRequest
from development import postgres
from innkeeper.maas_import import database as maas_database
from innkeeper.maas_import.service import read_database, read_dump
from innkeeper.maas_import.tables import Tables
from regiond.backup.programs import find
from regiond.db.pool import connect
from tests.maas_site.postgres import Programs, build
from tests.maas_site.site import site
from tests.maas_site.versions import site_of
from tests.postgresql.database import as_superuser, execute_as_superuser
from tests.support.ports import free_port
from tests.support.waiting import eventually, settle

pytestmark = pytest.mark.database
MACHINES = 5_000
NEWEST = 18  # of the wheel
SECRET = "not-shown-anywhere"  # noqa: S105


@pytest.fixture
def maas(empty_database_url: str) -> str:
    """The DSN of the database of a MAAS 3.7."""
    settle(build(empty_database_url, site_of("3.7", site())))
    return empty_database_url


@asynccontextmanager
async def role(maas: str) -> AsyncIterator[str]:
    """The DSN of a role without rights; dropped after the block."""
    name = f"reader_{uuid4().hex[:8]}"
    await execute_as_superuser(maas, f"create role {name} login")
    try:
        yield postgres.as_user(maas, name)
    finally:
        await execute_as_superuser(maas, f"drop owned by {name}; drop role {name}")


async def test_a_role_that_may_only_read_suffices(maas: str) -> None:
    async with role(maas) as dsn:
        with pytest.raises(
            BadSettings, match=r"may not read all .* permission denied .*grant pg_read_all_data to ROLE"
        ):
            await read_database(dsn)
        await execute_as_superuser(maas, f"grant pg_read_all_data to {urlsplit(dsn).username}")
        assert len((await read_database(dsn)).machines) == 40


async def test_one_moment_is_read_and_nothing_is_written(maas: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session deletes everything as soon as the first table was read."""
    read_of = maas_database._copy  # noqa: SLF001
    is_changed = False

    async def copy(connection: Any, found: Tables, table: str, columns: list[str]) -> None:
        nonlocal is_changed
        await read_of(connection, found, table, columns)
        if not is_changed:
            is_changed = True
            await execute_as_superuser(maas, "delete from public.maasserver_node; delete from public.auth_user")
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                async with connection.transaction():  # a savepoint
                    await connection.execute("delete from public.maasserver_bmc")

    monkeypatch.setattr(maas_database, "_copy", copy)
    found = await read_database(maas)
    assert (len(found.machines), len(found.users), len(found.hosts)) == (40, 4, 6)


async def test_a_locked_table_is_reported_in_time(maas: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(maas_database._SERVER_SETTINGS, "lock_timeout", "50ms")  # noqa: SLF001
    other = await connect(maas, application_name="test")
    try:
        async with other.transaction():
            await other.execute("lock table public.maasserver_node in access exclusive mode")
            with pytest.raises(DatabaseUnavailable, match="is locked, as while MAAS is upgraded"):
                await read_database(maas)
    finally:
        await other.close()
    assert (await read_database(maas)).machines


async def test_a_silent_database_ends_at_the_deadline(maas: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maas_database, "WHOLE_DEADLINE_S", 0.3)
    other = await connect(maas, application_name="test")
    try:
        async with other.transaction():
            await other.execute("lock table public.maasserver_node in access exclusive mode")
            with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
                await read_database(maas)
    finally:
        await other.close()


async def test_the_connection_ends_when_the_caller_is_cancelled(maas: str) -> None:
    other = await connect(maas, application_name="test")
    watching = await connect(as_superuser(maas), application_name="test")  # a transaction sees no later session

    async def readers() -> int:
        return int(
            await watching.fetchval("select count(*) from pg_stat_activity where application_name = 'innkeeper-import'")
        )

    try:
        async with other.transaction():
            await other.execute("lock table public.maasserver_node in access exclusive mode")
            reading = asyncio.create_task(read_database(maas))
            await eventually(readers)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        await eventually(lambda: _none(readers()))
    finally:
        await watching.close()
        await other.close()


async def _none(count: Awaitable[int]) -> bool:
    return await count == 0


def with_password(dsn: str) -> str:
    parts = urlsplit(dsn)
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{SECRET}@{place}"))


async def test_wrong_addresses_are_refused_without_the_password(maas: str) -> None:
    nowhere = f"postgresql://maas:{SECRET}@127.0.0.1:{free_port()}/maasdb"
    wrong = with_password(maas).replace(urlsplit(maas).path, "/no_such_maas")
    unknown = with_password(postgres.as_user(maas, "nobody-there"))
    for dsn, kind, problem in (
        (nowhere, DatabaseUnavailable, "maasdb on 127.0.0.1:.* cannot be read"),
        (wrong, BadSettings, "rejects the connection to no_such_maas on .*does not exist"),
        (unknown, BadSettings, "rejects the connection"),
        (f"host=localhost password={SECRET}", BadSettings, "not of the form postgresql://"),
        (f"postgresql://maas:{SECRET}@host:port/maasdb", BadSettings, "not of the form postgresql://"),
        (f"mysql://maas:{SECRET}@host/maasdb", BadSettings, "not of the form postgresql://"),
        (f"postgresql://maas:{SECRET}@[::1/maasdb", BadSettings, "not of the form postgresql://"),
        (f"postgresql://maas:{SECRET}@h/maasdb?sslmode=wrong", BadSettings, "not of the form postgresql://"),
        ("", BadSettings, "not of the form postgresql://"),
    ):
        with pytest.raises(kind, match=problem) as refused:
            await read_database(dsn)
        assert SECRET not in str(refused.value)


async def test_the_password_is_in_no_label(maas: str) -> None:
    found = await read_database(with_password(maas))
    assert SECRET not in repr(found)
    assert found.origin.label == f"{urlsplit(maas).path[1:]} on {urlsplit(maas).query.removeprefix('host=')}"


async def test_rows_that_are_none_of_maas_are_refused(maas: str) -> None:
    await execute_as_superuser(maas, "update public.maasserver_node set status = null, locked = null, hostname = null")
    assert (await read_database(maas)).machines[0].status == 0
    await execute_as_superuser(maas, "alter table public.maasserver_node drop column bmc_id")
    with pytest.raises(InvalidRequest, match=r"The database .* lacks maasserver_node.bmc_id"):
        await read_database(maas)


async def test_an_archive_that_was_cut_off_is_refused(maas: str, postgres_server: str, tmp_path: Path) -> None:
    programs = await _programs(postgres_server)
    path = await asyncio.to_thread(programs.dump, maas, tmp_path / "site.custom", "--format=custom")
    content = await asyncio.to_thread(path.read_bytes)
    for length in (12, 3000, len(content) * 9 // 10):
        await asyncio.to_thread(path.write_bytes, content[:length])
        with pytest.raises(InvalidRequest, match=r"cannot be read, pg_restore says|is not complete"):
            await read_dump(path, restorers=[programs.restorer])


@pytest.mark.slow
async def test_5000_machines_are_read_within_seconds(
    empty_database_url: str, postgres_server: str, tmp_path: Path
) -> None:
    await build(empty_database_url, site_of("3.7", site(MACHINES // 40)))
    programs = await _programs(postgres_server)
    plain = await asyncio.to_thread(programs.dump, empty_database_url, tmp_path / "plain")
    custom = await asyncio.to_thread(programs.dump, empty_database_url, tmp_path / "custom", "--format=custom")
    compressed = tmp_path / "plain.gz"
    await asyncio.to_thread(_compress, plain, compressed)
    for path in (plain, custom, compressed, None):
        began_at = time.process_time()  # a busy machine takes longer, not more of it
        read = read_database(empty_database_url) if path is None else read_dump(path, restorers=[programs.restorer])
        assert len((await read).machines) == MACHINES
        assert time.process_time() - began_at < 30  # measured: 1.2 to 2.4 s


@pytest.mark.slow
async def test_what_the_newest_release_dumps_is_read_or_explained(maas: str, tmp_path: Path) -> None:
    """Its script is read as any other; its archive needs its own `pg_restore`, not an older one."""
    newest, oldest = Programs(NEWEST), find("pg_restore", at_least=1)
    plain = await asyncio.to_thread(newest.dump, maas, tmp_path / "plain")
    custom = await asyncio.to_thread(newest.dump, maas, tmp_path / "custom", "--format=custom")
    assert (await read_dump(plain)).machines == (await read_database(maas)).machines
    assert (await read_dump(custom, restorers=[oldest.path, newest.restorer])).machines
    with pytest.raises(InvalidRequest, match=r"newer pg_dump than .*Install postgresql-client-17 or later, or make"):
        await read_dump(custom, restorers=[oldest.path])


def _compress(source: Path, target: Path) -> None:
    target.write_bytes(gzip.compress(source.read_bytes()))


async def _programs(dsn: str) -> Programs:
    connection = await connect(dsn, application_name="test")
    try:
        return Programs(int(await connection.fetchval("show server_version_num")) // 10_000)
    finally:
        await connection.close()

"""Real dumps of a MAAS by PostgreSQL's programs, and its database itself, give the same inventory."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import attrs
import pytest

from common.errors import InvalidRequest
from common.maas.inventory import Inventory, SourceKind
from development import postgres
from innkeeper.maas_import.service import read_database, read_dump
from regiond.db.pool import connect
from tests.maas_site.postgres import Programs, build
from tests.maas_site.site import site
from tests.maas_site.versions import VERSIONS, site_of
from tests.postgresql.database import create_database, drop_database, named
from tests.support.waiting import settle

pytestmark = pytest.mark.database
NEWEST_WITH_HOSTS = "3.8"


@pytest.fixture
def programs(postgres_server: str) -> Programs:
    return Programs(settle(_release(postgres_server)))


async def _release(dsn: str) -> int:
    connection = await connect(dsn, application_name="test")
    try:
        return int(await connection.fetchval("show server_version_num")) // 10_000
    finally:
        await connection.close()


@pytest.fixture
def own_server(server_folder: Path) -> str:
    """A server on which no other test has databases: pg_dumpall fails if one is dropped meanwhile."""
    return postgres.start(server_folder)


@asynccontextmanager
async def maas_databases(server: str, *names: str) -> AsyncIterator[list[str]]:
    """The DSNs of empty databases with these names; dropped after the block."""
    quoted = [name.replace('"', '""') for name in names]
    created = [await create_database(server, name) for name in quoted]
    try:
        yield [named(server, quote(name, safe="")) for name in names]
    finally:
        for name in quoted[: len(created)]:
            await drop_database(server, name)


def facts(inventory: Inventory) -> Inventory:
    """The inventory without where it was read."""
    origin = attrs.evolve(inventory.origin, kind=SourceKind.DUMP, label="")
    return attrs.evolve(inventory, origin=origin)


@pytest.mark.parametrize("version", VERSIONS)
async def test_dump_archive_and_database_of_each_version_are_equal(
    version: str, empty_database_url: str, programs: Programs, tmp_path: Path
) -> None:
    await build(empty_database_url, site_of(version, site()), reverse_columns=version in {"3.7.3", "3.4"})
    found = await read_database(empty_database_url)
    assert found.origin.kind is SourceKind.DATABASE
    assert found.origin.version == version
    assert [user.username for user in found.users if user.is_admin] == ["anna"]
    assert all(host.complete == (version != "4.0") for host in found.hosts)
    assert len(found.machines) == (41 if version == "4.0" else 40)  # 4.0 cannot tell a VM host from a plain BMC
    for form in ("plain", "custom"):
        path = await asyncio.to_thread(programs.dump, empty_database_url, tmp_path / form, f"--format={form}")
        assert facts(await read_dump(path, restorers=[programs.restorer])) == facts(found)


@pytest.mark.parametrize("form", ["directory", "tar"])
async def test_other_archives_of_pg_dump_are_read(
    form: str, empty_database_url: str, programs: Programs, tmp_path: Path
) -> None:
    await build(empty_database_url, site_of("3.7", site()))
    path = await asyncio.to_thread(programs.dump, empty_database_url, tmp_path / form, f"--format={form}")
    found = await read_dump(path, restorers=[programs.restorer])
    assert facts(found) == facts(await read_database(empty_database_url))


async def test_a_compressed_dump_of_the_whole_server_is_read(own_server: str, tmp_path: Path) -> None:
    path, compressed = tmp_path / "all.sql", tmp_path / "all.sql.gz"
    async with maas_databases(own_server, f"MAAS \"of\" the 'site' {uuid4().hex[:6]}") as (dsn,):
        await build(dsn, site_of("3.6", site()))
        await asyncio.to_thread(Programs(await _release(own_server)).dump_all, own_server, path)
        expected = facts(await read_database(dsn))
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    assert facts(await read_dump(path)) == expected
    assert facts(await read_dump(compressed)) == expected


@pytest.mark.slow
async def test_of_several_databases_of_maas_one_is_chosen(own_server: str, tmp_path: Path) -> None:
    path = tmp_path / "all.sql"
    names = sorted(f"maas-{uuid4().hex[:8]}" for _ in range(2))
    async with maas_databases(own_server, *names) as dsns:
        for dsn, version in zip(dsns, ("3.5", NEWEST_WITH_HOSTS), strict=True):
            await build(dsn, site_of(version, site()))
        await asyncio.to_thread(Programs(await _release(own_server)).dump_all, own_server, path)
    with pytest.raises(InvalidRequest, match=f"several databases of MAAS: {', '.join(names)}"):
        await read_dump(path)
    assert (await read_dump(path, database=names[0])).origin.version == "3.5"
    assert (await read_dump(path, database=names[1])).origin.version == NEWEST_WITH_HOSTS
    with pytest.raises(InvalidRequest, match="no database postgres of MAAS"):
        await read_dump(path, database="postgres")


async def test_a_database_of_something_else_is_refused(empty_database_url: str, database_url: str) -> None:
    for dsn in (empty_database_url, database_url):
        with pytest.raises(InvalidRequest, match="is not of MAAS"):
            await read_database(dsn)

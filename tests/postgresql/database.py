"""PostgreSQL for tests: one real server per test process, a fresh database for each test.

The server is the one of the Python wheel. Its data is in a temporary folder, in memory if possible, without fsync.
`INNKEEPER_TEST_DATABASE` selects another server: the DSN of its superuser `postgres`. Regions and tests connect as a
role that owns its databases and has no other rights. With `TESTS_LEAST_PRIVILEGE`, another role owns migrated
databases, as `innkeeper region init` makes them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from attrs import define

from development import postgres
from regiond.db.migrate import migrate
from regiond.db.pool import Database, connect
from tests.postgresql.kept_database import KeptDatabase
from tests.support.waiting import settle

REQUIRED_BYTES = 2 * 1024**3
# A test executes a statement only a few times on a connection, and by default PostgreSQL would plan it each time.
# In CI, the tests marked `database` run on a server with the default.
# No database lives long enough to need a vacuum.
SETTINGS = {**postgres.FAST, "plan_cache_mode": "force_generic_plan", "autovacuum": "off"}


OWNER = "innkeeper"  # the role that owns the databases of `restricted_url`
_ENSURE_ROLE = """
    do $$ begin create role "{}"; exception when duplicate_object or unique_violation then end $$
"""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The DSN of the server, which stops with the test process, even if that is killed."""
    other = os.environ.get("INNKEEPER_TEST_DATABASE")
    if other:
        settle(_execute(other, f'{_ENSURE_ROLE.format(postgres.ROLE)}; alter role "{postgres.ROLE}" login'))
        yield postgres.as_user(other, postgres.ROLE)
        return
    with tempfile.TemporaryDirectory(prefix="innkeeper-pg-", dir=memory_folder(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with subprocess.Popen(
            [sys.executable, postgres.__file__, "guard", str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        ) as guard:
            yield postgres.start(folder, settings=SETTINGS)
            assert guard.stdin is not None
            guard.stdin.close()  # the guard then stops the server and removes the folder
            guard.wait(60)


@pytest.fixture(scope="session")
def initialised_folder() -> Iterator[Path]:
    """The folder of a server that was started once and stopped. To copy its data takes a sixth of initdb's time."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-pg-", dir=memory_folder(), ignore_cleanup_errors=True) as name:
        folder = Path(name) / "server"
        postgres.start(folder)
        postgres.stop(folder)
        yield folder


@pytest.fixture
def server_folder(initialised_folder: Path) -> Iterator[Path]:
    """A folder with the data of a separate server without databases, which is stopped after the test.

    Not below `tmp_path`: pytest makes that private to root, and the server runs as another user.
    """
    yield from _copied(initialised_folder)


@pytest.fixture(scope="module")
def module_server_folder(initialised_folder: Path) -> Iterator[Path]:
    """As `server_folder`, for all tests of a module."""
    yield from _copied(initialised_folder)


def _copied(initialised_folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="innkeeper-pg-", dir=memory_folder(), ignore_cleanup_errors=True) as name:
        folder = Path(name) / "server"
        folder.mkdir()
        subprocess.run(["cp", "--archive", str(initialised_folder / "data"), str(folder)], check=True, timeout=60)
        yield folder
        postgres.stop(folder)


@pytest.fixture(scope="session")
def template(postgres_server: str) -> Iterator[str]:
    """The name of a migrated database that tests copy."""
    if os.environ.get("TESTS_LEAST_PRIVILEGE"):
        with _restricted_template(postgres_server) as name:
            yield name
        return
    with _new_database(postgres_server, "template") as dsn:
        settle(migrate(dsn))
        settle(_execute(dsn, "select"))  # writes the file with the system catalogue's cache, which the copies get too
        yield urlsplit(dsn).path.strip("/")


@pytest.fixture(scope="session")
def restricted_template(postgres_server: str) -> Iterator[str]:
    """The name of a migrated database whose owner is another role than the region's."""
    with _restricted_template(postgres_server) as name:
        yield name


@pytest.fixture
def database_url(postgres_server: str, template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of a migrated database that is as new; `own_database` marks tests that need a new one."""
    if _keeps_databases() and request.node.get_closest_marker("own_database") is None:
        kept = request.getfixturevalue("kept_databases")
        failed = request.session.testsfailed
        yield settle(kept.dsn())
        settle(kept.put_back() if request.session.testsfailed == failed else kept.drop())
        return
    owner = OWNER if os.environ.get("TESTS_LEAST_PRIVILEGE") else postgres.ROLE
    with _new_database(postgres_server, "test", template, owner=owner) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def kept_databases(postgres_server: str, template: str) -> Iterator[KeptDatabases]:
    kept = KeptDatabases(postgres_server, template)
    yield kept
    settle(kept.drop())


def _keeps_databases() -> bool:
    """The repetitions of these tests, on another server or with another owner, begin with new ones."""
    return not (os.environ.get("INNKEEPER_TEST_DATABASE") or os.environ.get("TESTS_LEAST_PRIVILEGE"))


@pytest.fixture
def restricted_url(postgres_server: str, restricted_template: str) -> Iterator[str]:
    """The DSN of a fresh, migrated database that belongs to the role `OWNER`, for the region's role."""
    with _new_database(postgres_server, "restricted", restricted_template, owner=OWNER) as dsn:
        yield dsn


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """The DSN of a fresh, empty database; dropped after the test."""
    with _new_database(postgres_server, "empty") as dsn:
        yield dsn


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open pool on a fresh database."""
    opened = settle(Database.open(database_url, application_name="innkeeper-test", min_size=1))
    yield opened
    settle(opened.close())


def memory_folder() -> str | None:
    """Returns a folder in memory if it has space: copying a database takes 10 ms there, on a slow disk 300 ms."""
    memory = Path("/dev/shm")  # noqa: S108 - tempfile creates private folders
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > REQUIRED_BYTES:
        return str(memory)
    return None


def named(dsn: str, database: str) -> str:
    """Returns `dsn` with another database of the same server."""
    parts = urlsplit(dsn)
    return urlunsplit((parts.scheme, parts.netloc, f"/{database}", parts.query, parts.fragment))


async def execute_as_superuser(dsn: str, statement: str) -> None:
    """Runs the statement in the database of `dsn`."""
    await _execute(as_superuser(dsn), statement)


def as_superuser(dsn: str) -> str:
    """Returns `dsn` with the server's superuser."""
    return postgres.as_user(dsn, postgres.SUPERUSER)


def with_option(dsn: str, option: str) -> str:
    """Returns `dsn` with one more connection option, such as `role=pg_monitor`."""
    return f"{dsn}{'&' if '?' in dsn else '?'}{option}"


async def execute(database: Database, statement: str, *values: object) -> None:
    async with database.connection() as db:
        await db.execute(statement, *values)


async def fetchval(database: Database, query: str, *values: object) -> Any:
    """Returns the first column of the first row; None without rows."""
    async with database.connection() as db:
        return await db.fetchval(query, *values)


def as_owner(dsn: str) -> str:
    """Returns `dsn` of a restricted database with the rights of its owner."""
    return with_option(as_superuser(dsn), f"options=-c%20role%3D{OWNER}")


async def create_database(server: str, name: str, *, template: str | None = None, owner: str = postgres.ROLE) -> str:
    """Returns the DSN of a new database, for the role of `server`: empty, or a copy."""
    copied = f'template "{template}" strategy file_copy' if template else ""
    await _execute(as_superuser(server), f'create database "{name}" owner "{owner}" {copied}')
    if owner != postgres.ROLE:  # a copy does not have the rights of the database itself
        await _execute(as_superuser(server), f'revoke temporary on database "{name}" from public')
    return named(server, name)


async def drop_database(server: str, name: str) -> None:
    await _execute(as_superuser(server), f'drop database "{name}" with (force)')


@define
class KeptDatabases:
    """At most one at a time."""

    _server: str
    _template: str
    _kept: KeptDatabase | None = None

    async def dsn(self) -> str:
        if self._kept is None:
            name = f"innkeeper_test_{uuid4().hex[:12]}"
            made = await create_database(self._server, name, template=self._template)
            try:
                self._kept = await KeptDatabase.open(made, as_superuser(made))
            except BaseException:
                await drop_database(self._server, name)
                raise
        return self._kept.dsn

    async def put_back(self) -> None:
        is_as_new = False
        try:
            is_as_new = self._kept is None or await self._kept.put_back()
        finally:
            if not is_as_new:
                await self.drop()

    async def drop(self) -> None:
        if self._kept is not None:
            kept, self._kept = self._kept, None
            await kept.close()
            await drop_database(self._server, urlsplit(kept.dsn).path.strip("/"))


@contextmanager
def _restricted_template(server: str) -> Iterator[str]:
    settle(_execute(as_superuser(server), _ENSURE_ROLE.format(OWNER)))
    with _new_database(server, "template", owner=OWNER) as dsn:
        settle(migrate(as_owner(dsn), grant_to=postgres.ROLE))
        settle(_execute(dsn, "select"))
        yield urlsplit(dsn).path.strip("/")


@contextmanager
def _new_database(server: str, purpose: str, template: str | None = None, owner: str = postgres.ROLE) -> Iterator[str]:
    """The DSN of a new database; dropped after the block."""
    name = f"innkeeper_{purpose}_{uuid4().hex[:12]}"
    yield settle(create_database(server, name, template=template, owner=owner))
    settle(drop_database(server, name))


async def _execute(dsn: str, statement: str) -> None:
    connection = await connect(dsn, application_name="innkeeper-test")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

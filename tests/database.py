"""PostgreSQL for tests: always a real one, one server per test process, a database of its own for each test.

The server comes from the wheel, in a temporary folder (in memory if there is room), without fsync.
`INNKEEPER_TEST_DATABASE` names another server instead (a DSN whose user may create databases), such as Debian's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

from development import postgres
from regiond.db.migrate import migrate
from regiond.db.pool import Database, connect
from tests.waiting import settle

ROOM_BYTES = 2 * 1024**3


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The DSN of a server, to make databases on. Stopped at the end, even when the test process is killed."""
    named = os.environ.get("INNKEEPER_TEST_DATABASE")
    if named:
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="innkeeper-pg-", dir=memory_folder(), ignore_cleanup_errors=True) as made:
        folder = Path(made)
        with subprocess.Popen(
            [sys.executable, postgres.__file__, "guard", str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        ) as guardian:
            yield postgres.start(folder, settings=postgres.FAST)
            assert guardian.stdin is not None
            guardian.stdin.close()  # it stops the server and removes the folder
            guardian.wait(60)


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """An empty folder for a server of the test's own, stopped after it. Not below `tmp_path`, where, as root, another
    user may not go: each start of pytest closes that folder again."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-pg-", ignore_cleanup_errors=True) as made:
        folder = Path(made) / "server"
        yield folder
        postgres.stop(folder)


@pytest.fixture(scope="session")
def template(postgres_server: str) -> Iterator[str]:
    """The name of a database with every migration applied, to copy from."""
    name = f"innkeeper_template_{uuid4().hex[:12]}"
    settle(_execute(postgres_server, f'create database "{name}"'))
    settle(migrate(named(postgres_server, name)))
    yield name
    settle(_execute(postgres_server, f'drop database "{name}" with (force)'))


@pytest.fixture
def database_url(postgres_server: str, template: str) -> Iterator[str]:
    """The DSN of a fresh database with every migration applied; dropped after the test."""
    name = f"innkeeper_test_{uuid4().hex[:12]}"
    settle(_execute(postgres_server, f'create database "{name}" template "{template}" strategy file_copy'))
    yield named(postgres_server, name)
    settle(_execute(postgres_server, f'drop database "{name}" with (force)'))


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """The DSN of a fresh database with nothing in it."""
    name = f"innkeeper_empty_{uuid4().hex[:12]}"
    settle(_execute(postgres_server, f'create database "{name}"'))
    yield named(postgres_server, name)
    settle(_execute(postgres_server, f'drop database "{name}" with (force)'))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open pool on a fresh database."""
    opened = settle(Database.open(database_url, application_name="innkeeper-test", min_size=1))
    yield opened
    settle(opened.close())


def memory_folder() -> str | None:
    """A folder in memory with room for a test run: a database is copied there in 10 ms, on a slow disk in 300."""
    memory = Path("/dev/shm")  # noqa: S108 - made private by tempfile
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_BYTES:
        return str(memory)
    return None


def named(dsn: str, database: str) -> str:
    """`dsn` with another database of the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


async def _execute(dsn: str, statement: str) -> None:
    connection = await connect(dsn, application_name="innkeeper-test")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

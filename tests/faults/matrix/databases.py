"""Databases of the matrix: copies of a migrated one, on a server for this process alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

from attrs import frozen

from development import postgres
from regiond.db.migrate import migrate
from regiond.db.pool import connect
from tests.database import memory_folder, named


@frozen
class Databases:
    """`template` is the name of the migrated database on `server`."""

    server: str
    template: str

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[str]:
        """The DSN of a new copy, dropped afterwards."""
        name = f"innkeeper_matrix_{uuid4().hex[:12]}"
        await self.execute(f'create database "{name}" template "{self.template}" strategy file_copy')
        try:
            yield named(self.server, name)
        finally:
            await self.execute(f'drop database "{name}" with (force)')

    @classmethod
    async def on(cls, server: str) -> Databases:
        made = cls(server, f"innkeeper_template_{uuid4().hex[:12]}")
        await made.execute(f'create database "{made.template}"')
        await migrate(named(server, made.template))
        return made

    async def execute(self, statement: str) -> None:
        connection = await connect(self.server, application_name="matrix")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def server() -> Iterator[str]:
    """The DSN of a PostgreSQL without fsync, in memory if there is space; it ends with this process."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-pg-", dir=memory_folder(), ignore_cleanup_errors=True) as made:
        folder = Path(made)
        guard = [sys.executable, postgres.__file__, "guard", str(folder)]
        with subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True) as guardian:
            yield postgres.start(folder, settings=postgres.FAST)
            if guardian.stdin is not None:
                guardian.stdin.close()  # stops the server and removes the folder
            guardian.wait(60)

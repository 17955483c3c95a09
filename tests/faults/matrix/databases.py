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
from tests.postgresql.database import create_database, drop_database, memory_folder


@frozen
class Databases:
    """`template` is the name of the migrated database on `server`."""

    server: str
    template: str

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[str]:
        """The DSN of a new copy, dropped afterwards."""
        name = f"innkeeper_matrix_{uuid4().hex[:12]}"
        dsn = await create_database(self.server, name, template=self.template)
        try:
            yield dsn
        finally:
            await drop_database(self.server, name)

    @classmethod
    async def on(cls, server: str) -> Databases:
        made = cls(server, f"innkeeper_template_{uuid4().hex[:12]}")
        await migrate(await create_database(server, made.template))
        return made


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

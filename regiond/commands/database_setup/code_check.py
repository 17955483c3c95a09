"""Compares what a database can execute with what the migrations make in an empty one."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from common.errors import BadSettings
from regiond.commands.database_setup import store
from regiond.commands.database_setup.model import Target, check_code, in_database
from regiond.commands.database_setup.owner_session import connected
from regiond.db.migrate import UNFINISHED
from regiond.db.migration_files import UNFINISHED_RESTORE, Migration, packaged
from regiond.db.pool import Db
from regiond.db.stored_code import StoredCode, code_of, stored_code


async def check_stored_code(administrator: str, target: Target) -> None:
    """Raises BadSettings, with its names, for code in the database that the migrations did not make. Runs none of it.

    Whoever owned the database may have written anything into its tables, also which migrations it has: with a false
    answer it differs from what those make.
    """
    async with connected(in_database(administrator, target.database)) as db:
        migrations = _known(await store.applied(db))
        if not migrations and await store.has_tables(db):
            raise BadSettings(UNFINISHED)  # a restore that was interrupted before it recorded them
        found = await stored_code(db, roles=(target.owner, target.role))
    made = await _made_by(administrator, migrations) if migrations else StoredCode()
    check_code(target.database, found.differences(made))


def _known(applied: Mapping[int, tuple[str, str]]) -> list[Migration]:
    """Raises BadSettings for a migration that this release does not know, or knows otherwise."""
    known = {one.number: one for one in packaged()}
    found = []
    for number, (name, digest) in applied.items():
        if number == UNFINISHED_RESTORE.number:
            continue
        if number not in known:
            raise BadSettings(
                f"The database is newer than this release: it has {name}. Nothing was changed. Install the release "
                "that the database has, or a newer one."
            )
        if known[number].digest != digest:
            raise BadSettings(
                f"{name} was edited after it was applied to this database, or the database was changed. Nothing was "
                "changed. Use an empty database."
            )
        found.append(known[number])
    return found


async def _made_by(administrator: str, migrations: list[Migration]) -> StoredCode:
    async with _scratch_database(administrator) as db, db.transaction():
        return await code_of(db, migrations)


@asynccontextmanager
async def _scratch_database(administrator: str) -> AsyncIterator[Db]:
    name = f"innkeeper-check-{secrets.token_hex(6)}"
    async with connected(administrator) as server:
        try:
            await store.make_scratch_database(server, name)
            async with connected(in_database(administrator, name)) as db:
                yield db
        finally:
            await store.drop_scratch_database(server, name)

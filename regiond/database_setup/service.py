"""Sets the database up and changes its schema, on connections of an administrator.

`administrator` is the address of a role that may create roles and databases, such as a superuser. Every function can be
repeated, also after it was killed: it completes what is missing.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from common.errors import DatabaseUnavailable
from common.phrases import number_of
from regiond.database_setup import store
from regiond.database_setup.model import Facts, Target, as_role, check, in_database, is_local, scram
from regiond.db.errors import translating_errors
from regiond.db.migrate import migrate
from regiond.db.pool import MIN_POSTGRESQL, Db, connect
from regiond.db.privileges import database_owner, grant
from regiond.db.relations import relations
from regiond.db.unfinished_restore import check_restored

Say = Callable[[str], None]
_NAME = "innkeeper-setup"
_SALT_BYTES = 16


async def check_server(administrator: str, target: Target) -> None:
    """Raises BadSettings for what a setup must not change, DatabaseUnavailable without a server. Changes nothing."""
    await _check_reachable(administrator)
    async with _connected(administrator) as db:
        owner_exists, owner_logs_in, _ = await store.role(db, target.owner)
        role_exists, _, attributes = await store.role(db, target.role)
        database_exists = await store.has_database(db, target.database)
        release = db.get_server_version().major
    found: tuple[str, ...] = ()
    if database_exists:
        async with _connected(in_database(administrator, target.database)) as db:
            found = await relations(db)
    facts = Facts(
        release=release,
        owner_exists=owner_exists,
        owner_logs_in=owner_logs_in,
        role_exists=role_exists,
        attributes=attributes,
        database_exists=database_exists,
        relations=found,
        is_innkeeper={"schema_migration", "installation"} <= {one.partition(".")[2] for one in found},
    )
    check(facts, target, oldest=MIN_POSTGRESQL)


async def _check_reachable(administrator: str) -> None:
    try:
        async with _connected(administrator):
            pass
    except DatabaseUnavailable as error:
        if not is_local(administrator):
            raise
        raise DatabaseUnavailable(
            f"{error.message}. Nothing was changed. Install PostgreSQL and start it (on Debian: apt-get install "
            "postgresql), or give the address of an administrator of the server: --server -"
        ) from error


async def make_roles_and_database(administrator: str, target: Target, say: Say) -> None:
    """Says a line for each step. Raises BadSettings if the administrator may not do it."""
    async with _connected(administrator) as db:
        exists, _, _ = await store.role(db, target.owner)
        if not exists:
            await store.make_owner(db, target.owner)
        await store.may_use(db, target.owner)
        say(f"Role {target.owner}, which owns the tables: {_existed(existed=exists)}.")
        exists, _, _ = await store.role(db, target.role)
        if not exists:
            verifier = None if target.password is None else scram(target.password, os.urandom(_SALT_BYTES))
            await store.make_role(db, target.role, verifier)
        say(f"Role {target.role}, with which the region logs in: {_existed(existed=exists)}.")
        exists = await store.has_database(db, target.database)
        if not exists:
            await store.make_database(db, target.database, target.owner)
        say(f"Database {target.database}: {_existed(existed=exists)}.")
    async with _connected(in_database(administrator, target.database)) as db:
        former = (await database_owner(db)).owner
        if former != target.owner:
            await store.own_database(db, target.database, target.owner)
        if moved := await store.transfer(db, owner=target.owner, role=target.role):
            say(f"{number_of(moved, 'object')} of {former} now belong to {target.owner}.")
        if await store.take_back(db, owner=target.owner, role=target.role):
            say(f"The rights of {target.owner} were taken from {target.role}.")


async def change_schema(administrator: str, target: Target, say: Say) -> None:
    """Applies the missing migrations as the owner, and gives the region's role its rights. Says a line for each.

    Raises as `migrate`.
    """
    await _check_reachable(administrator)
    dsn = as_role(in_database(administrator, target.database), target.owner)
    say(_schema_line(await migrate(dsn, grant_to=target.role)))
    await give_rights(administrator, target)
    say(f"Rights: {target.role} can change rows; it cannot change the audit trail, nor create or drop anything.")


async def give_rights(administrator: str, target: Target) -> None:
    """Gives the region's role its rights, and takes back those of the owner, if a restore had lent them."""
    async with _connected(as_role(in_database(administrator, target.database), target.owner)) as db, db.transaction():
        await grant(db, target.role)
    async with _connected(administrator) as db:
        await store.take_back(db, owner=target.owner, role=target.role)


async def make_schema(administrator: str, target: Target, keep_audit_days: int, say: Say) -> None:
    """The same as `change_schema`; then sets the age below which nothing can prune the audit trail."""
    await change_schema(administrator, target, say)
    async with _connected(as_role(in_database(administrator, target.database), target.owner)) as db:
        await store.set_retention(db, keep_audit_days)
    say(f"Audit trail: {target.role} cannot delete entries of the last {number_of(keep_audit_days, 'day')}.")


async def change_own_schema(dsn: str, state: Path, say: Say) -> None:
    """Applies the missing migrations where the region's role owns the tables. Raises as `migrate`.

    Also raises BadSettings if a restore with the `state` folder has not filled the database yet.
    """
    await check_restored(dsn, state)
    say(_schema_line(await migrate(dsn)))


async def lend_owner(administrator: str, target: Target) -> None:
    """Gives the region's role the rights of the owner, for a restore. `give_rights` takes them back."""
    await _check_reachable(administrator)
    async with _connected(administrator) as db:
        await store.lend(db, owner=target.owner, role=target.role)


async def foreign_owner(dsn: str) -> str | None:
    """Returns the owner of the region's database if the region lacks its rights, or was lent them; else None."""
    async with _connected(dsn) as db:
        found = await database_owner(db)
        return None if found.is_ours else found.owner


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Db]:
    connection = await connect(dsn, application_name=_NAME)
    try:
        with translating_errors(connection):
            yield connection
    finally:
        await connection.close(timeout=10.0)


def _existed(*, existed: bool) -> str:
    return "existed" if existed else "created"


def _schema_line(applied: Sequence[str]) -> str:
    return f"Schema: {number_of(len(applied), 'migration')} applied." if applied else "Schema: up to date."

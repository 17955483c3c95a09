"""Sets the database up and changes its schema, on connections of an administrator and of the tables' owner.

`administrator` is the address of a role that may create roles and databases, such as a superuser. Its sessions run no
code that is stored in the database, and what reads or changes tables runs in a session of their owner. Every function
can be repeated, also after it was killed: it completes what is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from common.errors import DatabaseUnavailable
from common.words.phrases import number_of
from regiond.commands.database_setup import store
from regiond.commands.database_setup.code_check import check_stored_code
from regiond.commands.database_setup.model import Facts, Target, check, in_database, is_local
from regiond.commands.database_setup.owner_session import (
    begin_owner_session,
    connected,
    connected_as_owner,
    end_owner_session,
    new_verifier,
)
from regiond.db.errors import translating_errors
from regiond.db.migrate import migrate
from regiond.db.pool import MIN_POSTGRESQL, Db, connect
from regiond.db.privileges import database_owner, grant
from regiond.db.relations import relations
from regiond.db.unfinished_restore import check_restored

Say = Callable[[str], None]
_SET_RETENTION = (
    "update audit_retention set at_least = make_interval(days => $1) where at_least <> make_interval(days => $1)"
)


async def check_server(administrator: str, target: Target, *, new_password: bool = False) -> None:
    """Raises BadSettings for what a setup must not change, DatabaseUnavailable without a server. Changes nothing."""
    await _check_reachable(administrator)
    async with connected(administrator) as db:
        owner_exists, owner_logs_in, owner_attributes = await store.role(db, target.owner)
        role_exists, _, attributes = await store.role(db, target.role)
        database_exists = await store.has_database(db, target.database)
        release = db.get_server_version().major
    found: tuple[str, ...] = ()
    if database_exists:
        async with connected(in_database(administrator, target.database)) as db:
            found = await relations(db)
    facts = Facts(
        release=release,
        owner_exists=owner_exists,
        owner_logs_in=owner_logs_in,
        owner_attributes=owner_attributes,
        role_exists=role_exists,
        attributes=attributes,
        database_exists=database_exists,
        relations=found,
        is_innkeeper={"schema_migration", "installation"} <= {one.partition(".")[2] for one in found},
    )
    check(facts, target, oldest=MIN_POSTGRESQL, new_password=new_password)
    if database_exists:
        await check_stored_code(administrator, target)


async def _check_reachable(administrator: str) -> None:
    try:
        async with connected(administrator):
            pass
    except DatabaseUnavailable as error:
        if not is_local(administrator):
            raise
        raise DatabaseUnavailable(
            f"{error.message}. Nothing was changed. Install PostgreSQL and start it (on Debian: apt-get install "
            "postgresql), or give the address of an administrator of the server: --server -"
        ) from error


async def make_roles_and_database(administrator: str, target: Target, say: Say) -> None:
    """Says a line for each step. Raises BadSettings if the administrator may not do it, or for code of others."""
    async with connected(administrator) as db:
        exists, _, _ = await store.role(db, target.owner)
        if not exists:
            await store.make_owner(db, target.owner)
        await store.may_use(db, target.owner)
        say(f"Role {target.owner}, which owns the tables: {_existed(existed=exists)}.")
        exists, _, _ = await store.role(db, target.role)
        if not exists:
            verifier = None if target.password is None else new_verifier(target.password)
            await store.make_role(db, target.role, verifier)
        say(f"Role {target.role}, with which the region logs in: {_existed(existed=exists)}.")
        exists = await store.has_database(db, target.database)
        if not exists:
            await store.make_database(db, target.database, target.owner)
        say(f"Database {target.database}: {_existed(existed=exists)}.")
    async with connected(in_database(administrator, target.database)) as db:
        former = await store.database_owner(db)
        if former != target.owner:
            await store.own_database(db, target.database, target.owner)
        if moved := await store.transfer(db, owner=target.owner, role=target.role):
            say(f"{number_of(moved, 'object')} of {former} now belong to {target.owner}.")
        if await store.take_back(db, owner=target.owner, role=target.role):
            say(f"The rights of {target.owner} were taken from {target.role}.")
        async with db.transaction():
            await grant(db, target.role, owner=target.owner)
        await store.end_older_transactions(db)
    await check_stored_code(administrator, target)  # from now on nobody else can add any


async def change_schema(administrator: str, target: Target, say: Say) -> None:
    """Applies the missing migrations as the owner, and gives the region's role its rights. Says a line for each.

    Raises as `migrate`, and BadSettings for code that is not Innkeeper's.
    """
    async with _as_owner(administrator, target) as dsn:
        await _migrate(dsn, target, say)


async def make_schema(administrator: str, target: Target, keep_audit_days: int, say: Say) -> None:
    """The same as `change_schema`; then sets the age below which nothing can prune the audit trail."""
    async with _as_owner(administrator, target) as dsn:
        await _migrate(dsn, target, say)
        async with connected_as_owner(dsn) as db:
            await db.execute(_SET_RETENTION, keep_audit_days)
    say(f"Audit trail: {target.role} cannot delete entries of the last {number_of(keep_audit_days, 'day')}.")


async def _migrate(owner_dsn: str, target: Target, say: Say) -> None:
    say(_schema_line(await migrate(owner_dsn, grant_to=target.role)))
    async with connected_as_owner(owner_dsn) as db, db.transaction():
        await grant(db, target.role)
    say(f"Rights: {target.role} can change rows; it cannot change the audit trail, nor create or drop anything.")


@asynccontextmanager
async def _as_owner(administrator: str, target: Target) -> AsyncIterator[str]:
    dsn = await begin_as_owner(administrator, target)
    try:
        yield dsn
    finally:
        await end_owner_session(administrator, target)


async def begin_as_owner(administrator: str, target: Target) -> str:
    """Returns the address with which the owner of the database logs in until `end_as_owner`.

    Raises BadSettings for code in the database that is not Innkeeper's, and if the server does not let the owner in.
    """
    await _check_reachable(administrator)
    await check_stored_code(administrator, target)
    return await begin_owner_session(administrator, target)


async def end_as_owner(administrator: str, target: Target) -> None:
    """Gives the region's role its rights on all that the owner has made since. Idempotent."""
    async with connected(in_database(administrator, target.database)) as db:
        async with db.transaction():
            await grant(db, target.role, owner=target.owner)
        await store.take_back(db, owner=target.owner, role=target.role)
    await end_owner_session(administrator, target)


async def change_own_schema(dsn: str, state: Path, say: Say) -> None:
    """Applies the missing migrations where the region's role owns the tables. Raises as `migrate`.

    Also raises BadSettings if a restore with the `state` folder has not filled the database yet.
    """
    await check_restored(dsn, state)
    say(_schema_line(await migrate(dsn)))


async def foreign_owner(dsn: str) -> str | None:
    """Returns the owner of the region's database if the region lacks its rights, or was lent them; else None.

    The region's session says that, so an administrator must not rely on it.
    """
    connection: Db = await connect(dsn, application_name="innkeeper-setup")
    try:
        with translating_errors(connection):
            found = await database_owner(connection)
    finally:
        await connection.close(timeout=10.0)
    return None if found.is_ours else found.owner


def _existed(*, existed: bool) -> str:
    return "existed" if existed else "created"


def _schema_line(applied: Sequence[str]) -> str:
    return f"Schema: {number_of(len(applied), 'migration')} applied." if applied else "Schema: up to date."

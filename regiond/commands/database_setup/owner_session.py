"""Sessions of an administrator, and of the owner of the tables, which cannot become the administrator's.

`set role` and `set session authorization` in a superuser's session can be taken back by whatever runs in it. So the
owner, which never logs in otherwise, gets a password of its own for as long as a command works with its tables.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from common.errors import BadSettings, DatabaseUnavailable
from regiond.commands.database_setup import store
from regiond.commands.database_setup.model import (
    Target,
    as_login,
    check_owner_attributes,
    in_database,
    is_socket,
    scram,
)
from regiond.db.errors import translating_errors
from regiond.db.pool import NO_SETTINGS, Db, connect
from regiond.db.stored_code import SYSTEM_PATH

_NAME = "innkeeper-setup"
_LOOPBACK = ("127.0.0.1", "[::1]")
_SALT_BYTES = 16


@asynccontextmanager
async def connected(dsn: str, settings: Mapping[str, str] = SYSTEM_PATH) -> AsyncIterator[Db]:
    """A session of an administrator, in which a name without a schema is one of PostgreSQL's own."""
    connection = await connect(dsn, application_name=_NAME, settings=settings)
    try:
        with translating_errors(connection):
            yield connection
    finally:
        await connection.close(timeout=10.0)


def connected_as_owner(dsn: str) -> AbstractAsyncContextManager[Db]:
    """A session with the address of `begin_owner_session`."""
    return connected(dsn, NO_SETTINGS)


def new_verifier(password: str) -> str:
    return scram(password, os.urandom(_SALT_BYTES))


async def begin_owner_session(administrator: str, target: Target) -> str:
    """Returns the address with which the owner of the database logs in, until `end_owner_session`.

    Raises BadSettings if the database has another owner, if that may be a person or has rights of its own, or if the
    server does not let it in.
    """
    there = in_database(administrator, target.database)
    password = secrets.token_urlsafe(32)
    async with connected(there) as db:
        await _check_owner(db, target)
        port = int(await db.fetchval("select current_setting('port')"))
        await store.take_back(db, owner=target.owner, role=target.role)
        await store.let_log_in(db, owner=target.owner, role=target.role, verifier=new_verifier(password))
    rejected = []
    for dsn in _ways(there, target.owner, password, port):
        try:
            async with connected_as_owner(dsn) as db:
                if await db.fetchval("select session_user = $1", target.owner):
                    return dsn
        except (BadSettings, DatabaseUnavailable) as error:
            rejected.append(error.message)
    await end_owner_session(administrator, target)
    raise BadSettings(
        f"The server does not let the owner of the tables log in with a password ({'; '.join(rejected)}). Nothing was "
        "changed in its tables. Add this line above the others of pg_hba.conf, reload PostgreSQL, and repeat the "
        f"command: {'local' if is_socket(administrator) else 'hostssl'} {target.database} {target.owner} "
        f"{'' if is_socket(administrator) else 'ADDRESS/32 '}scram-sha-256",
        setting="database",
    )


async def end_owner_session(administrator: str, target: Target) -> None:
    """Ends the time in which the owner can log in, and nothing that it still does. Idempotent."""
    async with connected(administrator) as db:
        await store.end_log_in(db, owner=target.owner, role=target.role)


async def _check_owner(db: Db, target: Target) -> None:
    """By the catalog: what the region said of its database may be somebody else's answer."""
    owner = await store.database_owner(db)
    _, logs_in, attributes = await store.role(db, owner)
    if owner != target.owner or logs_in:
        raise BadSettings(
            f"The database {target.database} belongs to {owner}{', which can log in' if logs_in else ''}. Nothing was "
            "changed. Give it to a role of its own: innkeeper region init"
        )
    check_owner_attributes(owner, attributes)


def _ways(administrator: str, owner: str, password: str, port: int) -> Iterator[str]:
    """A socket often lets in only users of this computer by the same name; loopback asks for the password."""
    yield as_login(administrator, owner, password)
    if is_socket(administrator):
        for host in _LOOPBACK:
            yield as_login(administrator, owner, password, host=host, port=port)

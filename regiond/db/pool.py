"""The region's way into PostgreSQL: a small pool, transactions, and one kind of error when the server is gone."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from common.errors import BadSettings, Busy, DatabaseUnavailable
from regiond.db.errors import GONE, READ_ONLY, read_only, while_connecting, while_using

if TYPE_CHECKING:
    Row: TypeAlias = asyncpg.Record
    Db: TypeAlias = asyncpg.Connection[Row] | PoolConnectionProxy[Row]
else:  # neither can be subscripted at run time
    Row = asyncpg.Record
    Db = asyncpg.Connection | PoolConnectionProxy

T = TypeVar("T")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

OLDEST_POSTGRESQL = 15  # `unique nulls not distinct`
CONNECT_DEADLINE_S = 10.0
STATEMENT_DEADLINE_S = 25.0  # the server's own, shorter than the client's, so that its words arrive
COMMAND_DEADLINE_S = 30.0
NO_SETTINGS: Mapping[str, str] = {}
RETRY_AFTER_S = (0.02, 0.1)
_IS_READ_ONLY = "select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean"
CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


class Database:
    """A pool of 4 to 8 connections: more is slower on the machines we run on. Made by `open`.

    Columns of type json and jsonb are plain Python values in both directions. Every method raises DatabaseUnavailable
    when the server cannot be reached, goes away, or does not answer within 30 s; the same Database works again by
    itself when the server is back. A connection is given back as it is, so nothing may be set, locked or listened to
    for longer than a transaction.
    """

    def __init__(
        self, pool: asyncpg.Pool[Row], described: str, *, acquire_deadline_s: float = CONNECT_DEADLINE_S
    ) -> None:
        self._pool = pool
        self._acquire_deadline_s = acquire_deadline_s
        self._refused: str | None = None
        self.described = described  # host and database, for people; never the password

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        application_name: str = "innkeeper-regiond",
        min_size: int = 4,
        max_size: int = 8,
        acquire_deadline_s: float = CONNECT_DEADLINE_S,
    ) -> Database:
        """Connect. Raises DatabaseUnavailable, or BadSettings for a bad DSN, login or a PostgreSQL before 15."""
        described = await _check_server(dsn)
        with while_connecting(described):
            pool = await asyncpg.create_pool(
                dsn,
                min_size=min_size,
                max_size=max_size,
                timeout=CONNECT_DEADLINE_S,
                command_timeout=COMMAND_DEADLINE_S,
                init=speak_json,
                reset=_nothing_to_reset,
                server_settings={
                    "application_name": application_name,
                    "statement_timeout": f"{STATEMENT_DEADLINE_S:.0f}s",
                    "idle_in_transaction_session_timeout": "60s",
                    "timezone": "UTC",
                    "jit": "off",
                },
            )
        return cls(pool, described, acquire_deadline_s=acquire_deadline_s)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Db]:
        """A connection outside a transaction: each statement commits by itself."""
        connection = await self._acquire()
        try:
            with while_using(connection):
                yield connection
        except DatabaseUnavailable as error:
            # A connection stays read-only when the database is not any more, and after the primary has moved.
            if error.details.get("reason") == READ_ONLY:
                await self._pool.expire_connections()
            raise
        finally:
            await self._give_back(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Db]:
        """A connection in a transaction (read committed): committed at the end, rolled back by any exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def in_transaction(self, work: Callable[[Db], Awaitable[T]], *, tries: int = 4) -> T:
        """The result of `work`, run again in a new transaction when it lost a deadlock or a serialization conflict.

        `work` has to have no effect outside the database. Raises Busy when it lost `tries` times in a row.
        """
        for left in range(tries - 1, -1, -1):
            try:
                async with self.transaction() as db:
                    return await work(db)
            except CONFLICTS as error:
                if not left:
                    raise Busy(
                        f"Others changed the same rows of the database at the same moment, {tries} times in a row: "
                        "nothing was done. Ask again."
                    ) from error
                # At once, it could take the rows again before the winner wakes up, and they would meet anew.
                await asyncio.sleep(random.uniform(*RETRY_AFTER_S))  # noqa: S311  # keeps two apart, no secret
        raise ValueError(f"tries={tries} is not at least 1")

    async def ping(self) -> None:
        """Return when the server answered one query."""
        async with self.connection() as db:
            await db.execute("select 1")

    async def check_writable(self) -> None:
        """Return when the server answered and takes writes. Raises DatabaseUnavailable."""
        async with self.connection() as db:
            if await db.fetchval(_IS_READ_ONLY):
                raise read_only()

    def refuse(self, why: str) -> None:
        """Use the database no more: what is under way is cut off and rolled back, what comes gets `why` as an error."""
        self._refused = why
        self._pool.terminate()

    async def close(self, *, timeout_s: float = 10.0) -> None:
        """Wait up to `timeout_s` for connections in use to be given back, then cut them off. Harmless twice."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._pool.close()
        except (*GONE, OSError):
            self._pool.terminate()  # a server that does not answer cannot be said goodbye to

    async def _acquire(self) -> PoolConnectionProxy[Row]:
        if self._refused is not None:
            raise DatabaseUnavailable(self._refused)
        with while_connecting(self.described):
            try:
                return await self._pool.acquire(timeout=self._acquire_deadline_s)
            except TimeoutError as error:
                busy, most = self._pool.get_size() - self._pool.get_idle_size(), self._pool.get_max_size()
                raise DatabaseUnavailable(
                    f"No connection to the database {self.described} came free within {self._acquire_deadline_s:g} s; "
                    f"{busy} of {most} are in use."
                ) from error

    async def _give_back(self, connection: PoolConnectionProxy[Row]) -> None:
        """Never raises: the work is done or has failed already, and the pool replaces what it cannot take back."""
        try:
            await self._pool.release(connection, timeout=CONNECT_DEADLINE_S)
        except (*GONE, asyncpg.InterfaceError, OSError) as error:
            log.warning("database_connection_given_up", error=str(error) or type(error).__name__)


async def speak_json(connection: Db) -> None:
    """Make json and jsonb columns of `connection` plain Python values."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=_to_json, decoder=json.loads, schema="pg_catalog")


async def _nothing_to_reset(_: Db) -> None:
    """In place of asyncpg's own query after every use: nobody here changes a session. Open transactions it ends all
    the same."""


async def connect(
    dsn: str, *, application_name: str, settings: Mapping[str, str] = NO_SETTINGS
) -> asyncpg.Connection[Row]:
    """A connection of one's own, outside any pool and without a time limit on statements; close it yourself.

    `settings` are PostgreSQL's, for this session.
    """
    with while_connecting(_described(dsn)):
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_DEADLINE_S,
            server_settings={"application_name": application_name, "timezone": "UTC", **settings},
        )


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)  # ids and moments as text


async def _check_server(dsn: str) -> str:
    """Where `dsn` leads, for people. Raises BadSettings when the server is too old."""
    connection = await connect(dsn, application_name="innkeeper-check")
    try:
        version = connection.get_server_version()
    finally:
        await connection.close(timeout=CONNECT_DEADLINE_S)
    if version.major < OLDEST_POSTGRESQL:
        raise BadSettings(
            f"PostgreSQL {version.major}.{version.minor} is too old: {OLDEST_POSTGRESQL} or newer is needed.",
            setting="database",
        )
    return _described(dsn)


def _described(dsn: str) -> str:
    """Database and host, without user, password and other options."""
    try:
        parts = urlsplit(dsn)
        host = parts.hostname or ", ".join(parse_qs(parts.query).get("host", ["the local socket"]))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "of the setting"  # asyncpg says what is wrong with it
    return f"{parts.path.strip('/') or '(default)'} on {host}{port}"

"""The connection pool to PostgreSQL: connections, transactions and retries; makes values of rows."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import asyncpg
import attrs
import orjson
import structlog
from asyncpg.pool import PoolConnectionProxy

from common.errors import BadSettings, Busy, DatabaseUnavailable, InvalidRequest
from common.tracing.spans import Kind, below_current
from regiond.db.connection import NOTICES_LOST_CLIENT, Connection
from regiond.db.errors import IN_THE_WAY, LOST, READ_ONLY, read_only, translating_connect_errors, translating_errors
from regiond.db.history import ServerHistory
from regiond.db.pool_use import PoolUse
from regiond.db.pool_warnings import shorten_warnings
from regiond.db.servers import check_certificate_file, described, open_primary
from regiond.db.statement_spans import record_statement

if TYPE_CHECKING:
    Row: TypeAlias = asyncpg.Record
    Db: TypeAlias = asyncpg.Connection[Row] | PoolConnectionProxy[Row]
else:  # neither can be subscripted at run time
    Row = asyncpg.Record
    Db = asyncpg.Connection | PoolConnectionProxy

T = TypeVar("T")
P = ParamSpec("P")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MIN_POSTGRESQL = 15  # `unique nulls not distinct`
CONNECT_DEADLINE_S = 10.0
STATEMENT_DEADLINE_S = 25.0  # enforced by the server; shorter than the client's, so that its message arrives
COMMAND_DEADLINE_S = 30.0
NO_SETTINGS: Mapping[str, str] = {}
RETRY_AFTER_S = (0.02, 0.1)
CONFLICTS = IN_THE_WAY
_IS_READ_ONLY = "select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean"


class Database:
    """A pool of 4 to 8 connections; more were slower in benchmarks. Created by `open`.

    json and jsonb columns are plain Python values in both directions. Every method raises DatabaseUnavailable if the
    server cannot be reached, closes the connection or does not answer within 30 s, and works again when the server
    does. Connections return to the pool without a reset: settings, locks and listeners must not outlive a transaction.
    """

    def __init__(
        self, pool: asyncpg.Pool[Row], described: str, *, acquire_deadline_s: float = CONNECT_DEADLINE_S
    ) -> None:
        self._pool = pool
        self.acquire_deadline_s = acquire_deadline_s
        self._rejection: str | None = None
        self._waiting = 0
        self.described = described  # host and database, for messages; never the password

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        application_name: str = "innkeeper-regiond",
        min_size: int = 4,
        max_size: int = 8,
        acquire_deadline_s: float = CONNECT_DEADLINE_S,
        min_postgresql: int = MIN_POSTGRESQL,
        history: ServerHistory | None = None,
        traced: bool = False,
    ) -> Database:
        """Connects. Raises DatabaseUnavailable; BadSettings for a bad DSN, a rejected login or an old PostgreSQL.

        With a `history`, no connection to a former primary is used. If `traced`, statements are in the traces of what
        they are for.
        """

        async def open_one(address: str, **options: Any) -> Connection:
            del options["loop"], options["connection_class"]
            return await open_primary(address, history, **options)

        async def prepare(connection: Connection) -> None:
            await set_json_codecs(connection)
            if traced:
                connection.add_query_logger(record_statement)  # asyncpg measures nothing without one
            if history is not None:
                with translating_errors(connection):
                    await history.settle(connection)

        # Their types are those of plain connections.
        hooks: dict[str, Any] = {"connect": open_one, "init": prepare, "reset": _no_reset}
        found = await _check_server(dsn, min_postgresql, history)
        shorten_warnings()
        with translating_connect_errors(found):
            pool = await asyncpg.create_pool(
                dsn,
                min_size=min_size,
                max_size=max_size,
                timeout=CONNECT_DEADLINE_S,
                command_timeout=COMMAND_DEADLINE_S,
                connection_class=Connection,
                **hooks,
                server_settings={
                    "application_name": application_name,
                    "statement_timeout": f"{STATEMENT_DEADLINE_S:.0f}s",
                    "idle_in_transaction_session_timeout": "60s",
                    "timezone": "UTC",
                    "jit": "off",
                    **NOTICES_LOST_CLIENT,
                },
            )
        return cls(pool, found, acquire_deadline_s=acquire_deadline_s)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Db]:
        """A connection without a transaction: each statement commits separately.

        A task that is cancelled in the block gets CancelledError within seconds, whether or not the server answers.
        """
        connection = await self._acquire()
        cancellations = _cancellations()
        try:
            try:
                yield connection
            except Exception:
                with translating_errors(connection, self.described):
                    raise
        except DatabaseUnavailable as error:
            # An open connection stays read-only after the database has become writable or the primary has changed.
            if error.details.get("reason") == READ_ONLY:
                await self._pool.expire_connections()
            if _cancellations() > cancellations:  # the connection was lost before the rollback of a cancelled task
                raise asyncio.CancelledError from error
            raise
        finally:
            await self._release(connection)

    @asynccontextmanager
    async def joined(self, db: Db | None) -> AsyncIterator[Db]:
        """The connection `db` of a transaction of the caller, or one like `connection`."""
        if db is not None:
            yield db
            return
        async with self.connection() as own:
            yield own

    @asynccontextmanager
    async def transaction(self, *, dry_run: bool = False) -> AsyncIterator[Db]:
        """A connection in a transaction (read committed): committed at the end, rolled back by any exception.

        A dry run is always rolled back: it finds what the transaction would find, and changes and notifies nothing.
        """
        with suppress(_EndOfDryRun):
            async with self.connection() as connection, connection.transaction():
                yield connection
                if dry_run:
                    raise _EndOfDryRun

    async def in_transaction(
        self,
        work: Callable[[Db], Awaitable[T]],
        *,
        tries: int = 4,
        dry_run: bool = False,
        conflicts: tuple[type[asyncpg.PostgresError], ...] = CONFLICTS,
    ) -> T:
        """Returns the result of `work`, repeated in a new transaction after a deadlock or serialization conflict.

        A dry run is rolled back, see `transaction`. `work` must have no effect outside the database. Raises Busy after
        `tries` conflicts.
        """
        caught: tuple[type[Exception], ...] = (*conflicts, DatabaseUnavailable)
        for left in range(tries - 1, -1, -1):
            try:
                async with self.transaction(dry_run=dry_run) as db:
                    return await work(db)
            except caught as error:
                if not isinstance(error, conflicts) and not isinstance(error.__cause__, conflicts):
                    raise
                if not left:
                    raise Busy(
                        f"Conflict with concurrent changes of the same rows, {tries} times in a row. "
                        "Nothing was changed; try again."
                    ) from error
                # Without a pause it could lock the rows before the winner resumes, and conflict again.
                await asyncio.sleep(random.uniform(*RETRY_AFTER_S))  # noqa: S311  # separates two retries, no secret
        raise ValueError(f"tries={tries} is not at least 1")

    async def in_batches(self, delete: Callable[[Db, int], Awaitable[int]], *, batch_rows: int) -> int:
        """Returns how many rows `delete` has deleted, at most `batch_rows` in each call, until a call found fewer.

        Each call commits separately, so that no lock is held for long.
        """
        total = 0
        while True:
            async with self.connection() as db:
                deleted = await delete(db, batch_rows)
            total += deleted
            if deleted < batch_rows:
                return total

    @property
    def pool_use(self) -> PoolUse:
        pool = self._pool
        return PoolUse(
            size=pool.get_size(), idle=pool.get_idle_size(), limit=pool.get_max_size(), waiting=self._waiting
        )

    async def ping(self) -> None:
        """Returns after the server has answered a query."""
        async with self.connection() as db:
            await db.execute("select 1")

    async def check_writable(self) -> None:
        """Returns if the server accepts writes. Raises DatabaseUnavailable."""
        async with self.connection() as db:
            if await db.fetchval(_IS_READ_ONLY):
                raise read_only()

    async def drop_connections(self) -> None:
        """Opens new connections from now on; those in use are closed after their use."""
        await self._pool.expire_connections()

    def reject_all(self, reason: str) -> None:
        """Closes all connections, which rolls back their transactions; every later use raises `reason`."""
        self._rejection = reason
        self._pool.terminate()

    @property
    def rejection(self) -> str | None:
        """The reason given to `reject_all`; None before."""
        return self._rejection

    async def close(self, *, timeout_s: float = 10.0) -> None:
        """Waits up to `timeout_s` for connections in use, then closes them. Idempotent."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._pool.close()
        except (*LOST, OSError):
            self._pool.terminate()  # the server does not answer

    async def _acquire(self) -> PoolConnectionProxy[Row]:
        if self._rejection is not None:
            raise DatabaseUnavailable(self._rejection)
        self._waiting += 1
        try:
            if self._pool.get_idle_size():
                return await self._pool.acquire(timeout=self.acquire_deadline_s)
            with below_current("wait for a database connection", Kind.INTERNAL):
                return await self._pool.acquire(timeout=self.acquire_deadline_s)
        except TimeoutError as error:
            raise DatabaseUnavailable(self._not_acquired()) from error
        except Exception:
            with translating_connect_errors(self.described):
                raise
            raise
        finally:
            self._waiting -= 1

    def _not_acquired(self) -> str:
        busy, most = self._pool.get_size() - self._pool.get_idle_size(), self._pool.get_max_size()
        within = f"within {self.acquire_deadline_s:g} s"
        if busy < most:
            return f"Cannot connect to the database {self.described}: no answer {within}."
        return f"No free connection to the database {self.described} {within}; {busy} of {most} are in use."

    async def _release(self, connection: PoolConnectionProxy[Row]) -> None:
        """Never raises: the work has already succeeded or failed, and the pool replaces a broken connection."""
        try:
            await self._pool.release(connection, timeout=CONNECT_DEADLINE_S)
        except (*LOST, asyncpg.InterfaceError, OSError) as error:
            log.warning("database_connection_discarded", reason=str(error) or type(error).__name__)


def reading(query: Callable[Concatenate[Db, P], Awaitable[T]]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Returns a method that calls `query` on a connection of its own, from the `_database` of its object."""

    @wraps(query)
    async def method(self: Any, /, *args: P.args, **named: P.kwargs) -> T:
        async with self._database.connection() as db:
            return await query(db, *args, **named)

    return method


def of_row(kind: type[T], row: Row, /, **others: Any) -> T:
    """Returns a `kind` whose attributes are the columns of the row with the same names, except for `others`.

    Raises KeyError for an attribute without a column. Further columns are ignored.
    """
    for name in _attribute_names(kind):  # type: ignore[arg-type]  # a class is hashable
        if name not in others:
            others[name] = row[name]
    return kind(**others)


@cache
def _attribute_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in attrs.fields(kind))


@contextmanager
def unique(field: str, message: str) -> Iterator[None]:
    """Raises InvalidRequest with the message for the field if a statement finds a duplicate."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise InvalidRequest.of({field: [message]}) from error


class _EndOfDryRun(Exception):
    """Rolls the transaction of a dry run back."""


def _cancellations() -> int:
    """Returns how many cancellations of the current task have not been handled."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


async def set_json_codecs(connection: Db) -> None:
    """Makes json and jsonb columns of the connection plain Python values."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=_to_json, decoder=_of_json, schema="pg_catalog")


async def _no_reset(_: Db) -> None:
    """Replaces the query that asyncpg runs after every use. asyncpg still ends an open transaction."""


async def connect(
    dsn: str,
    *,
    application_name: str,
    settings: Mapping[str, str] = NO_SETTINGS,
    history: ServerHistory | None = None,
) -> asyncpg.Connection[Row]:
    """Opens a connection outside the pool, without a statement timeout. The caller closes it.

    `settings` are PostgreSQL settings of the session. With a `history`, a former primary is rejected.
    """
    with translating_connect_errors(described(dsn)):
        return await open_primary(
            dsn,
            history,
            timeout=CONNECT_DEADLINE_S,
            server_settings={
                "application_name": application_name,
                "timezone": "UTC",
                **NOTICES_LOST_CLIENT,
                **settings,
            },
        )


def _of_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # a number beyond a double, half a pair of surrogates: the row stays readable
        return json.loads(text)


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)  # UUIDs and times as text


async def _check_server(dsn: str, min_postgresql: int, history: ServerHistory | None) -> str:
    """Returns a description of the server. Raises BadSettings if it is too old."""
    check_certificate_file(dsn)
    connection = await connect(dsn, application_name="innkeeper-check", history=history)
    try:
        version = connection.get_server_version()
    finally:
        await connection.close(timeout=CONNECT_DEADLINE_S)
    if version.major < min_postgresql:
        raise BadSettings(
            f"PostgreSQL {version.major}.{version.minor} is too old: Innkeeper requires {min_postgresql} or newer.",
            setting="database",
        )
    return described(dsn)

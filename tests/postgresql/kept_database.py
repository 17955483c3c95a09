"""A database that many tests use one after the other, and connections that outlive the pools that opened them.

Most of what a test of the region costs is a cold start of PostgreSQL: a copy of the template, a process for each
connection, and the plan of each statement in each process, in all 0.1 s of its CPU time. So the database is put back
instead of dropped: rows and sequences become those of the template, and idle connections are handed to the next pool
that asks for the same. Whatever does not come back by that, such as another schema, a statement that still runs, or a
test that failed, makes the next test begin with a new database.
"""

# ruff: noqa: SLF001  asyncpg has no public way to take a connection out of a pool
from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any

import asyncpg
from attrs import define, field

from regiond.db import connection, pool, servers
from regiond.db.errors import LOST

MOST_USES = 100  # nothing vacuums it
MOST_IDLE = 12  # connections with the same options; more than a pool has
LEAVES_WITHIN_S = 2.0  # a process of PostgreSQL whose client is gone
STATEMENTS = 2_000  # that a connection keeps; the pool's own number would forget them between two tests
_PAUSE_S = 0.003

_END_SESSION = (
    "reset session authorization; reset role; reset all; close all; unlisten *; select pg_advisory_unlock_all();"
    " discard temp; discard sequences"
)
# What changes when anything in the schema does: each of its parts has a row here, whose xmin is its last change.
_SCHEMA = " union all ".join(
    f"select count(*), max(xmin::text::bigint) from {catalog}"  # noqa: S608
    for catalog in (
        "pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_trigger", "pg_rewrite", "pg_policy", "pg_proc",
        "pg_type", "pg_enum", "pg_sequence", "pg_namespace", "pg_default_acl", "pg_description", "pg_db_role_setting",
        "pg_event_trigger", "pg_extension",
    )
)  # fmt: skip
_TABLES = """
    select format('%I.%I', nspname, relname) from pg_class join pg_namespace on pg_namespace.oid = relnamespace
     where relkind = 'r' and nspname not in ('pg_catalog', 'information_schema')
     order by 1
"""
_SEQUENCES = "select format('%I.%I', schemaname, sequencename) from pg_sequences order by 1"
_OTHERS = """
    select count(*) from pg_stat_activity
     where datname = current_database() and backend_type = 'client backend' and pid <> all($1::integer[])
"""


class KeptConnection(connection.Connection):
    """A connection that goes to `shelf` when it is closed, unless something about it would not be as new."""

    shelf: Shelf | None = None
    options: str = ""
    is_shelved: bool = False

    def is_closed(self) -> bool:
        """Also on the shelf: to whoever had it, it is closed."""
        return self.is_shelved or self.is_lost()

    def is_lost(self) -> bool:
        return super().is_closed()

    async def close(self, *, timeout: float | None = None) -> None:
        if self.is_shelved:
            return
        if self.shelf is None or not self._is_as_new():
            await super().close(timeout=timeout)
            return
        try:
            await self.execute(_END_SESSION, timeout=timeout or pool.CONNECT_DEADLINE_S)
        except (*LOST, asyncpg.InterfaceError, OSError):
            self.terminate()
            return
        except BaseException:
            self.terminate()
            raise
        self._leave_pool()
        if not self.shelf.put(self):
            await super().close(timeout=timeout)

    async def set_type_codec(self, typename: str, **options: Any) -> None:
        """Once: asyncpg forgets all statements whenever a codec is set."""
        known: set[str] = self.__dict__.setdefault("known_codecs", set())
        if typename not in known:
            await super().set_type_codec(typename, **options)
            known.add(typename)

    def _is_as_new(self) -> bool:
        inner: Any = self
        holder = inner._pool_holder() if inner._pool_holder is not None else None
        return not (
            self.is_closed()
            or self.is_in_transaction()
            or inner._protocol._is_cancelling()
            or inner._query_loggers
            or (holder is not None and not holder._pool.is_closing())  # the pool replaces it, for a reason
        )

    def _leave_pool(self) -> None:
        """What asyncpg does for a connection that is closed, but for its statements."""
        inner: Any = self
        inner._call_termination_listeners()
        if inner._pool_holder is not None:
            holder, inner._pool_holder = inner._pool_holder(), None
            if holder is not None and holder._con is self:
                holder._release_on_close()
        inner._listeners.clear()
        inner._log_listeners.clear()


@define
class Shelf:
    """Idle connections to one database, by what they were opened with."""

    _idle: dict[str, list[KeptConnection]] = field(factory=dict)

    def put(self, kept: KeptConnection) -> bool:
        idle = self._idle.setdefault(kept.options, [])
        if len(idle) >= MOST_IDLE:
            return False
        kept.is_shelved = True
        idle.append(kept)
        return True

    def take(self, options: str) -> KeptConnection | None:
        idle = self._idle.get(options, [])
        while idle:
            (kept := idle.pop()).is_shelved = False
            if not kept.is_closed():
                return kept
        return None

    def processes(self) -> list[int]:
        return [one.get_server_pid() for idle in self._idle.values() for one in idle if not one.is_lost()]

    def clear(self) -> None:
        for idle in self._idle.values():
            for one in idle:
                one.terminate()
        self._idle.clear()


_shelves: dict[str, Shelf] = {}
_opened_anew = servers.open_connection


async def _open_kept(dsn: str, **options: Any) -> connection.Connection:
    """Replaces `open_connection`: takes connections to a kept database from its shelf."""
    shelf = _shelves.get(dsn)
    if shelf is None:
        return await _opened_anew(dsn, **options)
    what = repr(sorted(options.items()))
    if (kept := shelf.take(what)) is not None:
        return kept
    options |= {"statement_cache_size": STATEMENTS, "max_cached_statement_lifetime": 0}
    opened = await asyncpg.connect(dsn, connection_class=KeptConnection, **options)
    opened.shelf, opened.options = shelf, what
    return opened


servers.open_connection = _open_kept


@define
class KeptDatabase:
    """One database, put back after each test. `db`: a connection of the superuser."""

    dsn: str
    shelf: Shelf
    _db: asyncpg.Connection[asyncpg.Record]
    _schema: list[asyncpg.Record]
    _filled: str  # a query: which tables have rows
    _rows: dict[str, bytes]  # of the tables that a migration fills, as COPY writes them
    _changes: str  # a query: of the same tables, how many rows they have, and their last change
    _unchanged: list[asyncpg.Record]
    _positions: str  # a query: where each sequence is
    _start: list[asyncpg.Record]
    _leaves_within_s: float
    _uses: int = 0

    @classmethod
    async def open(cls, dsn: str, superuser: str, *, leaves_within_s: float = LEAVES_WITHIN_S) -> KeptDatabase:
        """`dsn` has just been copied from the template; `superuser` is its DSN for the superuser."""
        db = await asyncpg.connect(superuser, server_settings={"session_replication_role": "replica", "jit": "off"})
        tables = [row[0] for row in await db.fetch(_TABLES)]
        exist = " union all ".join(f"select '{one}' as name, exists (select from {one}) as filled" for one in tables)  # noqa: S608  names from the catalogue
        filled = f"select name from ({exist}) as found where filled"  # noqa: S608
        rows = {row[0]: await _written(db, row[0]) for row in await db.fetch(filled)}
        changes = " union all ".join(f"select count(*), max(xmin::text::bigint) from {one}" for one in rows)  # noqa: S608
        sequences = [row[0] for row in await db.fetch(_SEQUENCES)]
        positions = " union all ".join(f"select '{one}', last_value, is_called from {one}" for one in sequences)  # noqa: S608
        shelf = _shelves[dsn] = Shelf()
        return cls(
            dsn=dsn, shelf=shelf, db=db, schema=await db.fetch(_SCHEMA), filled=filled, rows=rows, changes=changes,
            unchanged=await db.fetch(changes), positions=positions, start=await db.fetch(positions),
            leaves_within_s=leaves_within_s,
        )  # fmt: skip

    async def put_back(self) -> bool:
        """Returns whether everything is as in the template again. If not, the database is for no further test."""
        self._uses += 1
        if self._uses >= MOST_USES or not await self._left_alone() or await self._db.fetch(_SCHEMA) != self._schema:
            return False
        changed = await self._db.fetch(self._changes)
        refilled = [one for one, now, then in zip(self._rows, changed, self._unchanged, strict=True) if now != then]
        used = {row[0] for row in await self._db.fetch(self._filled)} - self._rows.keys()
        if statements := [f"delete from {one}" for one in sorted(used.union(refilled))]:  # noqa: S608
            await self._db.execute("; ".join(statements))
        for name in refilled:
            await _write(self._db, name, self._rows[name])
        if refilled:
            self._unchanged = await self._db.fetch(self._changes)
        now = await self._db.fetch(self._positions)
        if moved := [tuple(then) for then, one in zip(self._start, now, strict=True) if then != one]:
            await self._db.executemany("select setval($1::regclass, $2, $3)", moved)
        return True

    async def close(self) -> None:
        del _shelves[self.dsn]
        self.shelf.clear()
        await self._db.close()

    async def _left_alone(self) -> bool:
        """Returns whether no statement can come any more but from idle connections of the shelf."""
        ours = [*self.shelf.processes(), self._db.get_server_pid()]
        for _ in range(round(self._leaves_within_s / _PAUSE_S)):
            if not await self._db.fetchval(_OTHERS, ours):
                return True
            await asyncio.sleep(_PAUSE_S)  # a terminated client's process notices within milliseconds
        return False


async def _written(db: asyncpg.Connection[asyncpg.Record], table: str) -> bytes:
    output = BytesIO()
    await db.copy_from_query(f"table {table}", output=output)
    return output.getvalue()


async def _write(db: asyncpg.Connection[asyncpg.Record], table: str, rows: bytes) -> None:
    schema, name = table.split(".")
    await db.copy_to_table(name, schema_name=schema, source=BytesIO(rows))

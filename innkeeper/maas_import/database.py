"""Reads the database of a MAAS itself: rows in PostgreSQL's text form, in one transaction that only reads."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from common.errors import BadSettings, DatabaseUnavailable, InvalidRequest
from innkeeper.maas_import.tables import MAX_LINE_BYTES, TableReader, Tables, too_long
from innkeeper.maas_import.wanted import TABLES

if TYPE_CHECKING:
    _Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:  # cannot be subscripted at run time
    _Connection = asyncpg.Connection

CONNECT_DEADLINE_S, COPY_DEADLINE_S, WHOLE_DEADLINE_S = 10.0, 120.0, 600.0
_SERVER_SETTINGS = {
    "application_name": "innkeeper-import",
    "default_transaction_read_only": "on",
    "statement_timeout": "120s",
    "lock_timeout": "10s",  # a migration of MAAS has the tables
    "idle_in_transaction_session_timeout": "60s",
}
_COLUMNS = """
    select c.relname::text as table_name, a.attname::text as column_name
      from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relkind in ('r', 'p') and (n.nspname::text, c.relname::text) in (
           select * from unnest($1::text[], $2::text[]))
     order by c.relname, a.attnum
"""
_OTHERS = """
    select c.relname::text from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname = 'public' order by 1 limit 200
"""
_REJECTED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


def described(dsn: str) -> str:
    """Returns database and server of a DSN, without user, password and options."""
    parts = urlsplit(dsn)
    options = parse_qs(parts.query)
    server = parts.netloc.rpartition("@")[2] or ",".join(options.get("host", [])) or "the local socket"
    name = unquote(parts.path.strip("/")) or ",".join(options.get("dbname", [])) or "(default)"
    return f"{name} on {server}"


async def read_tables(dsn: str) -> Tables:
    """Returns the wanted rows, as one moment had them. Changes nothing, and takes no locks that stop MAAS.

    Raises BadSettings for a DSN or a role that does not do, DatabaseUnavailable if the server does not answer in time.
    """
    _check(dsn)
    where = described(dsn)
    with _translating(where):
        async with asyncio.timeout(WHOLE_DEADLINE_S):
            connection = await asyncpg.connect(
                dsn, timeout=CONNECT_DEADLINE_S, command_timeout=COPY_DEADLINE_S, server_settings=_SERVER_SETTINGS
            )
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    return await _read(connection)
            finally:
                await _close(connection)


async def _read(connection: _Connection) -> Tables:
    found = Tables()
    columns: dict[str, list[str]] = {}
    names = [one.schema for one in TABLES.values()], list(TABLES)
    for row in await connection.fetch(_COLUMNS, *names):
        columns.setdefault(row["table_name"], []).append(row["column_name"])
    if "maasserver_node" not in columns:
        found.others.update(row[0] for row in await connection.fetch(_OTHERS))
        return found
    for table, wanted in TABLES.items():
        has = set(columns.get(table, ()))
        kept = [name for name in (*wanted.columns, *wanted.later) if name in has]
        if table in columns and kept:
            await _copy(connection, found, table, kept)
    return found


async def _copy(connection: _Connection, found: Tables, table: str, columns: list[str]) -> None:
    reader = TableReader(found, table, tuple(columns))
    rest = b""

    async def take(data: bytes) -> None:
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            reader.add(line)
        if len(rest) > MAX_LINE_BYTES:
            raise too_long(table)

    await connection.copy_from_table(
        table, schema_name=TABLES[table].schema, columns=columns, output=take, timeout=COPY_DEADLINE_S
    )


def _check(dsn: str) -> None:
    try:
        parts = urlsplit(dsn)
        is_url = parts.scheme in {"postgresql", "postgres"} and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = "," in dsn and dsn.startswith(("postgresql://", "postgres://"))
    if not is_url:
        raise _bad_dsn()


def _bad_dsn() -> BadSettings:
    # Without what was given: it may have a password.
    return BadSettings(
        "The DSN of the database is not of the form postgresql://user@host:port/database. The password can be in the "
        "variable PGPASSWORD instead."
    )


@contextmanager
def _translating(where: str) -> Iterator[None]:
    try:
        yield
    except InvalidRequest:
        raise
    except _REJECTED as error:
        raise BadSettings(f"PostgreSQL rejects the connection to {where}: {error}.") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise BadSettings(
            f"The role may not read all that an import needs of {where}: {error}. Use the role of MAAS, or: "
            "grant pg_read_all_data to ROLE."
        ) from error
    except asyncpg.LockNotAvailableError as error:
        raise DatabaseUnavailable(
            f"A table of {where} is locked, as while MAAS is upgraded. Try again when that has ended."
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise DatabaseUnavailable(
            f"The certificate of {where} is not accepted: {error.verify_message}. The DSN names what it accepts as "
            "sslrootcert."
        ) from error
    except (TimeoutError, asyncpg.QueryCanceledError) as error:
        raise DatabaseUnavailable(f"{where} did not answer in time. Nothing was changed; try again.") from error
    except (asyncpg.ClientConfigurationError, ValueError) as error:
        raise _bad_dsn() from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise DatabaseUnavailable(f"{where} cannot be read: {error or type(error).__name__}.") from error


async def _close(connection: Any) -> None:
    try:
        await connection.close(timeout=CONNECT_DEADLINE_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()

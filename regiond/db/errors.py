"""What a failing database looks like to everybody else: the one translation of asyncpg's and the system's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from common.errors import BadSettings, DatabaseUnavailable, InvalidRequest

if TYPE_CHECKING:
    from regiond.db.pool import Db

_SETTINGS = (
    asyncpg.InvalidAuthorizationSpecificationError,  # a wrong password is one of these
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, a statement over its time
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.ReadOnlySQLTransactionError,  # a standby: the primary has moved
    asyncpg.InternalClientError,  # the stream broke in the middle of a message
    ConnectionError,
    TimeoutError,
)
READ_ONLY = "read_only"
DISK_FULL = "disk_full"
_READ_ONLY_TEXT = (
    "The database is read-only: reading goes on, nothing can be changed. A standby becomes writable when it is "
    "promoted; otherwise somebody has set default_transaction_read_only. What was asked for was not done; ask again "
    "then."
)
_UNSTORABLE = (
    asyncpg.CharacterNotInRepertoireError,  # NUL in a text
    asyncpg.UntranslatableCharacterError,  # NUL in JSON
    asyncpg.NumericValueOutOfRangeError,
)


@contextmanager
def while_connecting(to: str) -> Iterator[None]:
    """BadSettings when the server refuses who or what we ask for, DatabaseUnavailable when it cannot be reached."""
    try:
        yield
    except _SETTINGS as error:
        raise BadSettings(f"PostgreSQL refused the connection to {to}: {error}", setting="database") from error
    except ValueError as error:  # without its words, which quote the DSN
        raise BadSettings(
            "The database's DSN is not postgresql://user@host:port/database.", setting="database"
        ) from error
    except (*GONE, asyncpg.InterfaceError, OSError) as error:
        raise DatabaseUnavailable(f"The database {to} cannot be reached: {_text(error)}") from error


@contextmanager
def while_using(connection: Db) -> Iterator[None]:
    """DatabaseUnavailable when the connection or its server fails, or takes no writes (`details["reason"]` says
    why); InvalidRequest for a value no column can hold.

    BadSettings for a user who may not do what we need. Other errors of a statement pass as they are.
    """
    try:
        yield
    except _UNSTORABLE as error:
        raise InvalidRequest(f"A value cannot be stored: {error}.") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise BadSettings(f"The database refused its user: {error}.", setting="database") from error
    except asyncpg.DataError as error:
        if "value out of int" not in str(error):
            raise  # a wrong type: a bug
        raise InvalidRequest("A number is too large to be one of ours.") from error
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise read_only() from error
    except asyncpg.DiskFullError as error:
        raise DatabaseUnavailable(
            f"The database's disk is full ({error}): nothing can be changed until there is room on the database's "
            "machine. What was asked for was not done; ask again then.",
            reason=DISK_FULL,
        ) from error
    except GONE as error:
        raise DatabaseUnavailable(f"The database failed in the middle of a request: {_text(error)}") from error
    except asyncpg.InterfaceError as error:
        if not _is_lost(connection):
            raise  # a wrong use of the library: a bug
        raise DatabaseUnavailable(f"The connection to the database was lost: {_text(error)}") from error


def read_only() -> DatabaseUnavailable:
    """What every attempt to write would meet."""
    return DatabaseUnavailable(_READ_ONLY_TEXT, reason=READ_ONLY)


def _is_lost(connection: Db) -> bool:
    """The pool takes a lost connection back at once; from then on it cannot even be asked."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__

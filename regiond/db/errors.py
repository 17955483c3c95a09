"""Translates the errors of asyncpg and the operating system into Innkeeper errors."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import asyncpg

from common.errors import BadSettings, DatabaseUnavailable, InvalidRequest, NotAuthenticated


class Closable(Protocol):
    """A connection that knows whether it has been closed."""

    def is_closed(self) -> bool: ...


# The server answers, and lets the user of the DSN not into its database.
REJECTED = (
    asyncpg.InvalidAuthorizationSpecificationError,  # includes a wrong password
    asyncpg.InvalidCatalogNameError,
)
_WRONG_SETTINGS = (*REJECTED, asyncpg.ClientConfigurationError)
# The connection or the server failed, so the same statement can succeed later.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdown, startup, statement timeout
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.ReadOnlySQLTransactionError,  # a standby: the primary has changed
    asyncpg.InternalClientError,  # the stream ended within a message
    ConnectionError,
    TimeoutError,
)
# Another transaction or a migration was in the way of the statement.
IN_THE_WAY = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.InvalidCachedStatementError)
READ_ONLY = "read_only"
NO_PRIMARY = "no_primary"
DISK_FULL = "disk_full"
_READ_ONLY_TEXT = (
    "The database is read-only: requests that change something fail. A standby becomes writable when it is promoted; "
    "otherwise check default_transaction_read_only. Nothing was changed; try again then."
)
_OF_ACCOUNT = ("_account_id_fkey", "_owner_id_fkey")  # an authenticated caller is cached for seconds
_UNSTORABLE = (
    asyncpg.CharacterNotInRepertoireError,  # NUL in a text
    asyncpg.UntranslatableCharacterError,  # NUL in JSON
    asyncpg.NumericValueOutOfRangeError,
)


@contextmanager
def translating_connect_errors(to: str) -> Iterator[None]:
    """Raises BadSettings if the server rejects user or database, DatabaseUnavailable if it cannot be reached.

    The latter also if its certificate is not accepted. `to` describes the server in messages.
    """
    try:
        yield
    except _WRONG_SETTINGS as error:
        raise BadSettings(f"PostgreSQL rejected the connection to {to}: {error}", setting="database") from error
    except ssl.SSLCertVerificationError as error:  # a ValueError, too
        reason = error.verify_message.rstrip(".")
        raise DatabaseUnavailable(
            f"The certificate of the database {to} is not accepted: {reason}. The DSN names what it accepts as "
            "sslrootcert, and the host as the certificate does."
        ) from error
    except ValueError as error:  # its message quotes the DSN with the password
        raise BadSettings(
            "The DSN of the database is not of the form postgresql://user@host:port/database.", setting="database"
        ) from error
    except (*LOST, asyncpg.InterfaceError, OSError) as error:
        raise DatabaseUnavailable(f"Cannot connect to the database {to}: {_text(error)}") from error


@contextmanager
def translating_errors(connection: Closable, to: str = "") -> Iterator[None]:
    """Raises DatabaseUnavailable if the connection or its server fails or rejects writes (`details["reason"]`).

    `to` describes the server in messages.

    Raises InvalidRequest for a value that no column can store, NotAuthenticated if the caller's account was deleted,
    BadSettings if the database's user lacks a privilege. Other errors of statements are not translated.
    """
    try:
        yield
    except _UNSTORABLE as error:
        raise InvalidRequest(f"A value cannot be stored: {error}.") from error
    except asyncpg.ForeignKeyViolationError as error:
        if not str(error.constraint_name).endswith(_OF_ACCOUNT):
            raise
        raise NotAuthenticated("The user of this request was just deleted.") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise BadSettings(f"The database rejected its user: {error}.", setting="database") from error
    except asyncpg.DataError as error:
        if "value out of int" not in str(error):
            raise  # a wrong type is a bug
        raise InvalidRequest("A number is too large.") from error
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise read_only() from error
    except asyncpg.DiskFullError as error:
        raise DatabaseUnavailable(
            f"The disk of the database is full ({error}): requests that change something fail. Free space on the "
            "database server and try again. Nothing was changed.",
            reason=DISK_FULL,
        ) from error
    except IN_THE_WAY as error:
        raise DatabaseUnavailable(
            f"Another change of the same rows, or of the schema, was in the way: {_text(error).splitlines()[0]}. "
            "Nothing was changed; try again."
        ) from error
    except LOST as error:
        raise DatabaseUnavailable(f"The database{to and f' {to}'} failed during a request: {_text(error)}") from error
    except asyncpg.InterfaceError as error:
        if not _is_lost(connection):
            raise  # wrong use of the library is a bug
        raise DatabaseUnavailable(
            f"The connection to the database{to and f' {to}'} was lost: {_text(error)}"
        ) from error


def read_only() -> DatabaseUnavailable:
    """Returns the error of any write to a read-only database."""
    return DatabaseUnavailable(_READ_ONLY_TEXT, reason=READ_ONLY)


def no_primary(problem: str, detail: str) -> DatabaseUnavailable:
    """Returns the error while no server accepts writes. Only its message has the `detail`, which may name addresses."""
    said = f"The database has no primary: {problem}."
    return DatabaseUnavailable(f"{said} In detail: {detail}.", reason=NO_PRIMARY, problem=said)


def _is_lost(connection: Closable) -> bool:
    """The pool takes a lost connection back at once; after that even `is_closed` raises."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


def _text(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not error.args:
        return "it has not answered in time"
    cause = error.__cause__  # asyncpg's own words do not have the reason of a lost connection
    if isinstance(error, asyncpg.PostgresConnectionError) and isinstance(cause, OSError) and cause.strerror:
        return f"{error} ({cause.strerror})"
    return str(error) or type(error).__name__

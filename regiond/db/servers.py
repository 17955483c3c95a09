"""Opens connections to the primary among the servers that the DSN of the database names."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from attrs import frozen

from common.addresses.host_names import bracketed
from common.errors import BadSettings, DatabaseUnavailable
from regiond.db.connection import Connection
from regiond.db.errors import LOST, REJECTED, no_primary
from regiond.db.history import ServerHistory, read_state

DEFAULT_PORT = 5432
GRACE_S = 2.0  # for a server with a newer history, once another accepts writes


@frozen
class Server:
    """A server that a DSN names. `host` can be the folder of a socket."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


@frozen
class _Answer:
    """A connection to a server that accepts writes, or why there is none.

    `rejection` is the error of a server that rejects the login. `may_be_primary`: of one that does not answer.
    """

    server: Server
    connection: Connection | None = None
    problem: str = ""
    detail: str = ""
    rejection: BaseException | None = None
    may_be_primary: bool = False

    def __str__(self) -> str:
        return f"{self.server} {self.problem}{f' ({self.detail})' if self.detail else ''}"


def servers_of(dsn: str) -> tuple[Server, ...]:
    """Returns the servers in the order of the DSN; none if it names no host. Raises ValueError for a bad port."""
    parts = urlsplit(dsn)
    options = parse_qs(parts.query)
    hosts = [unquote(one) for one in parts.netloc.rpartition("@")[2].split(",") if one]
    hosts = hosts or ",".join(options.get("host", [])).split(",")
    ports = [int(one) for one in ",".join(options.get("port", [])).split(",") if one] or [DEFAULT_PORT]
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    return tuple(_server(host, port) for host, port in zip(hosts, ports, strict=True) if host)


def _server(text: str, port: int) -> Server:
    host, _, own = text.rpartition(":")
    if text.startswith("/") or not host or text.endswith("]"):
        return Server(text.strip("[]"), port)
    return Server(host.strip("[]"), int(own))


def described(dsn: str) -> str:
    """Returns database and servers, without user, password and other options."""
    try:
        servers = ", ".join(bracketed(one.host) if one.port == DEFAULT_PORT else str(one) for one in servers_of(dsn))
        return f"{urlsplit(dsn).path.strip('/') or '(default)'} on {servers or 'the local socket'}"
    except ValueError:
        return "of the setting"  # asyncpg reports the error in it


async def open_primary(dsn: str, history: ServerHistory | None = None, **options: Any) -> Connection:
    """Opens a connection to the server that accepts writes, with the options of `asyncpg.connect`.

    Of several servers it asks all at once, so that none that is silent delays the others, and takes the one with the
    newest history. Raises DatabaseUnavailable for servers that are standbys or older than the `history`. Raises the
    error of one that rejects the login only if no other can be the primary: none accepts writes, and none is down.
    """
    servers = servers_of(dsn)
    if len(servers) > 1:
        return await _newest(dsn, servers, history or ServerHistory(), options)
    connection = await open_connection(dsn, **options)
    if history is not None:
        try:
            connection.position = (await read_state(connection)).position
            history.check(connection.position)
        except BaseException:
            connection.terminate()
            raise
    return connection


async def open_connection(dsn: str, **options: Any) -> Connection:
    """Opens a connection to the only server of the DSN, with the options of `asyncpg.connect`."""
    opened: Connection = await asyncpg.connect(dsn, connection_class=Connection, **options)
    return opened


async def _newest(
    dsn: str, servers: Iterable[Server], history: ServerHistory, options: Mapping[str, Any]
) -> Connection:
    tries = [asyncio.create_task(_try(dsn, server, history, options)) for server in servers]
    answers: list[_Answer] = []
    chosen: Connection | None = None
    returned: Connection | None = None
    failure: BaseException | None = None
    waiting = set(tries)
    try:
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, return_when=asyncio.FIRST_COMPLETED, timeout=None if chosen is None else GRACE_S
            )
            failure = next((error for one in done if (error := one.exception())), failure)
            answers += [one.result() for one in done if one.exception() is None]
            for answer in answers:
                chosen = _newer(chosen, answer.connection)
            if not done or (chosen is not None and chosen.position == history.newest):
                break
        if chosen is None:
            raise failure or _none(answers)
        returned = chosen
        return returned
    finally:
        for task in tries:
            task.cancel()
        for ended in await asyncio.gather(*tries, return_exceptions=True):
            if isinstance(ended, _Answer) and ended.connection is not None and ended.connection is not returned:
                ended.connection.terminate()


def _newer(one: Connection | None, other: Connection | None) -> Connection | None:
    if one is None or other is None:
        return one or other
    return other if one.position is not None and one.position.is_before(other.position) else one


async def _try(dsn: str, server: Server, history: ServerHistory, options: Mapping[str, Any]) -> _Answer:
    """Raises only what no server says: a rejection, such as of a standby with other rules, is an answer."""
    connection: Connection | None = None
    try:
        connection = await asyncpg.connect(
            dsn,
            host=server.host,
            port=server.port,
            target_session_attrs=SessionAttribute.any,
            connection_class=Connection,
            **options,
        )
        state = await read_state(connection)
        if not state.is_standby:
            history.check(state.position)
            connection.position = state.position
            return _Answer(server, connection)
        answer = _Answer(server, problem="is a standby")
    except DatabaseUnavailable as error:
        answer = _Answer(server, problem="is a former primary", detail=error.message)
    except REJECTED as error:
        said = _without_user(str(error), dsn)
        answer = _Answer(server, problem="rejects the login", detail=said, rejection=error)
    except (asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError) as error:
        answer = _Answer(server, problem="starts or stops", detail=_without_user(str(error), dsn), may_be_primary=True)
    except (*LOST, asyncpg.InterfaceError, OSError) as error:
        said = _without_user(str(error), dsn) or type(error).__name__
        answer = _Answer(server, problem="cannot be reached", detail=said, may_be_primary=True)
    except BaseException:
        if connection is not None:
            connection.terminate()
        raise
    if connection is not None:
        connection.terminate()
    return answer


def _none(answers: Iterable[_Answer]) -> BaseException:
    """Returns the rejection if it can only be that of the primary; a region does not start with such settings."""
    answers = list(answers)
    rejection = next((one.rejection for one in answers if one.rejection), None)
    if rejection is not None and not any(one.may_be_primary for one in answers):
        return rejection
    problems = Counter(one.problem for one in answers)
    counted = ", ".join(f"{number} {problem}" for problem, number in sorted(problems.items()))
    return no_primary(f"of {problems.total()} servers, {counted}", "; ".join(map(str, answers)))


def _without_user(text: str, dsn: str) -> str:
    """Replaces the name of the database's user, which clients of the API must not learn."""
    parts = urlsplit(dsn)
    given = unquote(parts.username or "") or parse_qs(parts.query).get("user", [""])[0]
    user = given or os.environ.get("PGUSER") or getpass.getuser()  # as asyncpg does
    return re.sub(rf"(?<![\w-]){re.escape(user)}(?![\w-])", "…", text)


def check_certificate_file(dsn: str) -> None:
    """Raises BadSettings for a file that cannot be read: the error of TLS does not name it."""
    try:
        named = parse_qs(urlsplit(dsn).query).get("sslrootcert", [])
    except ValueError:
        return  # asyncpg reports the error in the DSN
    for name in named:
        try:
            with Path(name).open("rb"):
                pass
        except OSError as error:
            raise BadSettings(
                f"The file {name}, which sslrootcert names, cannot be read: {error.strerror}.", setting="database"
            ) from error

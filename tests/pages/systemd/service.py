"""Starts, stops and reloads services, each below a process that remains until the service ends."""

from __future__ import annotations

import ctypes
import grp
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.pages.systemd.notified import Notified
from tests.pages.systemd.process import spawn, status_of
from tests.pages.systemd.unit import STATES, UNITS, Unit

CLONE_NEWNET = 0x40000000


def start(unit: Unit, above: tuple[Unit, ...] = ()) -> None:
    """Returns when the service is ready, with all that it needs. Idempotent. `above`: what needs it."""
    if unit.settings is None:
        raise SystemExit(f"Failed to start {unit.name}: Unit {unit.name} not found.")
    if unit in above:
        return
    generate()
    needed = [unit.service, *unit.needed()]
    for other in needed:
        start(other, (*above, unit))
    if unit.name.endswith(".service") and unit.pid is None:
        unit.note(0)
        if not supervised(unit, [one for one in needed if one.name.endswith(".socket") and one.service == unit]):
            unit.record.unlink()
            raise SystemExit(f"Job for {unit.name} failed. See: journalctl -u {unit.name}")


def supervised(unit: Unit, sockets: list[Unit]) -> bool:
    """Starts the service below a process that remains until it ends. Returns whether it became ready."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        os.setsid()
        supervise(unit, [listening(file, one) for one in sockets for file in one.all("ListenStream")], writer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        return answer.read() == "ready"


def supervise(unit: Unit, listeners: list[socket.socket], writer: int) -> None:
    enter_network_of_the_machine()
    with open(os.devnull, "r+b") as nothing:  # whoever reads our output does not wait for the service
        for number in (0, 1, 2):
            os.dup2(nothing.fileno(), number)
    with Notified(unit) as notified:
        variables = {"NOTIFY_SOCKET": str(notified.address)}
        status, good = None, True
        for command in unit.all("ExecStart"):
            pid = spawn(unit, command, variables, listeners)
            status = first_status(unit, pid, notified)
            good = status in (None, 0) or command.startswith("-")
            if not good:
                break
        os.write(writer, b"ready" if good else b"")
        os.close(writer)
        while status is None:
            status = notified.until_end(pid)
            if status == 0 and listeners:
                select.select(listeners, [], [])
                pid, status = spawn(unit, unit.one("ExecStart"), variables, listeners), None
                unit.note(pid)


def first_status(unit: Unit, pid: int, notified: Notified) -> int | None:
    """Waits until a process of the unit is ready. Returns its exit status, None if it runs."""
    kind = unit.one("Type", "simple")
    if kind in ("oneshot", "forking"):
        status = status_of(pid)
        file = Path(unit.one("PIDFile"))
        unit.note(int(file.read_text()) if kind == "forking" and file.is_file() else 0)
        return status
    unit.note(pid)
    return notified.until_ready(pid, unit.seconds("TimeoutStartSec")) if kind == "notify" else None


def listening(file: str, unit: Unit) -> socket.socket:
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(file)
    listener.listen(128)
    path.chmod(int(unit.one("SocketMode", "0666"), 8))
    if unit.one("SocketGroup"):
        os.chown(path, -1, grp.getgrnam(unit.one("SocketGroup")).gr_gid)
    return listener


def enter_network_of_the_machine() -> None:
    """Services run in the network of process 1, in whichever network a person calls systemctl."""
    with open("/proc/1/ns/net", "rb") as network:
        ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET)


def stop(unit: Unit) -> None:
    """Returns when the service, and all that are part of it, have ended. Idempotent."""
    for part in [Unit(record.stem) for record in STATES.glob("*.json")]:
        if unit.name in part.words("PartOf"):
            stop(part)
    pid = unit.pid
    for command in unit.all("ExecStop") if pid else ():
        run_for(unit, command, pid)
    if pid:
        end(pid, unit.seconds("TimeoutStopSec"))
    unit.record.unlink(missing_ok=True)


def end(pid: int, deadline_s: float) -> None:
    for number, wait_s in ((signal.SIGTERM, deadline_s), (signal.SIGKILL, 10.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        ends_at = time.monotonic() + wait_s
        while Path(f"/proc/{pid}").exists() and time.monotonic() < ends_at:
            time.sleep(0.05)


def restart(unit: Unit) -> None:
    stop(unit)
    start(unit)


def restart_if_active(unit: Unit) -> None:
    if unit.pid is not None:
        restart(unit)


def reload(unit: Unit) -> None:
    for command in unit.all("ExecReload"):
        if run_for(unit, command, unit.pid) != 0:
            raise SystemExit(f"Job for {unit.name} failed.")


def run_for(unit: Unit, command: str, pid: int | None) -> int:
    """Returns the exit status of a command of a unit that runs, such as ExecReload."""
    return status_of(spawn(unit, command.replace("$MAINPID", str(pid)), {}, []))


def generate() -> None:
    """Runs the generators of packages; those of systemd are about disks and terminals."""
    shutil.rmtree(UNITS[1], ignore_errors=True)
    UNITS[1].mkdir(parents=True)
    for program in Path("/lib/systemd/system-generators").glob("*"):
        if not program.name.startswith("systemd-"):
            subprocess.run([program, *[str(UNITS[1])] * 3], check=False, timeout=60)

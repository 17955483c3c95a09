"""Starts and stops this machine's libvirtd for `./dev run`.

Others use the same libvirtd (virsh, a second `./dev run`), and QEMU logs to virtlogd. So both outlive a killed run,
the next run with the same state folder adopts them, and Ctrl-C leaves them running while others are connected.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from development import kvm_device, processes
from development.commands import done, run
from development.paths import RunPaths
from development.supervisor import Program, Supervisor

SYSTEM = "qemu:///system"
READY_S = 30.0
_DAEMONS = ("virtlogd", "libvirtd")  # QEMU logs to virtlogd: it starts first and stops last
_UNIX_SOCKETS = Path("/proc/net/unix")
_CONNECTED = "03"
_LOCKS = Path("/var/lock")  # a link; where no system was booted, its target does not exist
_QEMU_SETTINGS = Path("/etc/libvirt/qemu.conf")
_WITHOUT_NAMESPACES = """
# Added by Innkeeper's ./dev run: this machine allows no mount namespaces.
namespaces = []
"""


class LocalLibvirtd:
    """The daemons that this run, or a killed one with the same state folder, started; none if libvirt ran already."""

    def __init__(self, paths: RunPaths, report: Callable[[str], None]) -> None:
        self._programs = _programs(paths, os.environ)
        self._supervisor = Supervisor(report)
        self._report = report
        self.is_ours = False

    async def ensure(self, address: str, started: AsyncExitStack) -> None:
        """Returns when libvirt answers; `started` receives the callback that stops what this class started.

        Raises CannotRun with libvirt's message.
        """
        started.push_async_callback(self._stop)
        if any(processes.recorded(program.pid_path) for program in self._programs):
            await self._adopt(address)
        elif await answers(address):
            return
        elif address != SYSTEM:
            await done("virsh", "--connect", address, "version")  # starts the session daemon, or raises with the reason
        elif systemd_runs():
            self._report("Starting libvirtd with systemd.")
            await done("systemctl", "start", "libvirtd.service")
            await done("virsh", "--connect", address, "version")
        else:
            await self._start(address)

    async def _adopt(self, address: str) -> None:
        running = [program for program in self._programs if processes.recorded(program.pid_path)]
        names = " and ".join(program.name for program in running)
        self._report(f"Found {names} of an earlier run, still running.")
        # If another libvirtd answers, a second one cannot start.
        answered = await answers(address)
        self._supervise(running if answered else self._programs)
        if not answered:
            await self._supervisor.ready("libvirtd", lambda: answers(address), deadline_s=READY_S)

    async def _start(self, address: str) -> None:
        self._report("Starting libvirtd directly: no service manager is running.")
        _make_lock_folder()
        if not await _mount_namespaces_work() and add_setting(_QEMU_SETTINGS):
            self._report(f"This machine allows no mount namespaces; disabled them for libvirt in {_QEMU_SETTINGS}.")
        if kvm_device.open_to_qemu():
            self._report(f"Gave {kvm_device.DEVICE} to the group kvm, as udev would.")
        self._supervise(self._programs)
        await self._supervisor.ready("libvirtd", lambda: answers(address), deadline_s=READY_S)

    def _supervise(self, programs: list[Program]) -> None:
        for program in programs:
            self._supervisor.start(program)
        self.is_ours = any(program.name == "libvirtd" for program in programs)

    def other_clients(self) -> int:
        """Returns the number of connections to our libvirtd; 0 if it is not ours. Call it after the rack has ended."""
        process = processes.recorded(self._programs[-1].pid_path) if self.is_ours else None
        if process is None:
            return 0
        return connections(_UNIX_SOCKETS.read_text(encoding="utf-8", errors="replace"), sockets_of(process.pid))

    async def _stop(self) -> None:
        clients = self.other_clients()
        if not clients:
            await self._supervisor.stop()
            return
        self._report(f"libvirtd and virtlogd keep running: libvirtd has {clients} other connection(s).")
        await self._supervisor.leave()


def systemd_runs() -> bool:
    """Whether systemd is the service manager, as sd_booted(3) checks."""
    return Path("/run/systemd/system").is_dir()


def _make_lock_folder() -> None:
    """Libvirt locks the consoles of guests there."""
    _LOCKS.resolve().mkdir(parents=True, exist_ok=True)


async def answers(address: str) -> bool:
    """Whether a libvirt daemon responds at `address`."""
    code, _, _ = await run("virsh", "--connect", address, "version", "--daemon")
    return code == 0


def connections(unix_sockets: str, inodes: frozenset[str]) -> int:
    """Returns how many of `inodes` are accepted connections to libvirt's sockets, from the text of /proc/net/unix."""
    rows = (line.split(maxsplit=7) for line in unix_sockets.splitlines()[1:])
    return sum(
        len(row) == 8 and row[5] == _CONNECTED and row[6] in inodes and "/libvirt/libvirt-sock" in row[7]
        for row in rows
    )


def sockets_of(pid: int) -> frozenset[str]:
    """Returns the inodes of the sockets that the process has open; none if it has ended."""
    found = set()
    try:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            found.update(re.findall(r"^socket:\[(\d+)\]$", os.readlink(handle)))
    except FileNotFoundError:
        pass  # the process or one of its sockets was closed meanwhile
    return frozenset(found)


def add_setting(path: Path) -> bool:
    """Disables mount namespaces in the libvirt settings at `path` unless it sets them; returns whether it changed."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if re.search(r"^\s*namespaces\s*=", text, re.MULTILINE):
        return False
    ending = "" if text.endswith("\n") or not text else "\n"
    path.write_text(f"{text}{ending}{_WITHOUT_NAMESPACES}", encoding="utf-8")
    return True


def _programs(paths: RunPaths, environment: Mapping[str, str]) -> list[Program]:
    return [
        Program(
            name=name,
            argv=(f"/usr/sbin/{name}",),
            log_path=paths.logs / f"{name}.log",
            pid_path=paths.surviving_pids / f"{name}.pid",
            environment=environment,
            survives=True,
        )
        for name in _DAEMONS
    ]


async def _mount_namespaces_work() -> bool:
    # libvirt does the same before it starts QEMU; it fails where / is not a mount point, as in a chroot.
    code, _, _ = await run("unshare", "--mount", "--propagation", "slave", "true")
    return code == 0

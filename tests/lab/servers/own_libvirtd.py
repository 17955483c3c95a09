"""A libvirtd for one test, in its own mount namespace, without the machine's domains."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import libvirt

from rackd.drivers.libvirt.connection.errors import ensure_event_loop
from tests.lab.servers.needs import why_no_libvirt

START_S = 30.0
# In a chroot, / is not a mount point: its propagation cannot be changed, and does not matter.
_UNSHARE = ("unshare", "--mount", "--propagation", "unchanged")
_START = """
set -e
mount --make-rprivate / 2>/dev/null || true
mount --bind etc /etc/libvirt
mount --bind var /var/lib/libvirt
mount --bind cache /var/cache/libvirt
mount --bind run /run/libvirt
exec libvirtd --pid-file "$PWD/libvirtd.pid"
"""
_ENTER = '{ mount --make-rprivate / 2>/dev/null || true; } && mount --bind "$0" /run/libvirt && exec "$@"'


def why_no_own_libvirtd() -> str | None:
    if shutil.which("libvirtd") is None or shutil.which("unshare") is None:
        return "requires libvirtd and unshare: tests/lab/lab install"
    return why_no_libvirt()


class OwnLibvirtd:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "libvirtd"
        for name in ("var", "run"):
            (self._folder / name).mkdir(parents=True)
        # The capabilities of the emulators, which take ten seconds to query. A file that libvirtd is writing has
        # a temporary name.
        unfinished = shutil.ignore_patterns("*.new")
        shutil.copytree("/var/cache/libvirt", self._folder / "cache", copy_function=shutil.copy2, ignore=unfinished)
        # Only settings: with domains, networks or pools, two libvirts would start the same guest.
        shutil.copytree("/etc/libvirt", self._folder / "etc", ignore=shutil.ignore_patterns("qemu", "storage"))
        with (self._folder / "etc" / "qemu.conf").open("a") as settings:
            settings.write('\nstdio_handler = "file"\n')  # the machine's virtlogd is not reachable
        self.uri = f"qemu+unix:///system?socket={self._folder}/run/libvirt-sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def entering(self) -> tuple[str, ...]:
        """Put before a command: its `qemu:///system` is this libvirtd, also after a restart."""
        return (*_UNSHARE, "bash", "-c", _ENTER, str(self._folder / "run"))

    def start(self) -> None:
        """Returns when libvirtd answers."""
        command = [*_UNSHARE, "bash", "-c", _START]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, start_new_session=True)
        ensure_event_loop()
        ends_at = time.monotonic() + START_S
        while True:
            try:
                libvirt.open(self.uri).close()
            except libvirt.libvirtError:
                if time.monotonic() > ends_at or self._process.poll() is not None:
                    raise AssertionError((self._folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_stopped(self) -> bool:
        assert self._process is not None
        return " T " in Path(f"/proc/{self._process.pid}/stat").read_text()

    def definitions(self) -> set[str]:
        """Files of persistent domains."""
        return {path.stem for path in (self._folder / "etc" / "qemu").glob("*.xml")}

    def process_of(self, name: str) -> int:
        """The process id of a running domain's QEMU."""
        return int((self._folder / "run" / "qemu" / f"{name}.pid").read_text())

    def close(self) -> None:
        if self.is_running:
            self.send(signal.SIGCONT)
            self.kill()

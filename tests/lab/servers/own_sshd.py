"""An sshd for one test, with its own host key and authorised keys."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.lab.servers.needs import why_no_libvirt
from tests.support.ports import free_port

SSHD = "/usr/sbin/sshd"
START_S = 60.0


def why_no_own_sshd() -> str | None:
    if shutil.which(SSHD) is None or shutil.which("ssh-keygen") is None:
        return "requires sshd and ssh-keygen: tests/lab/lab install"
    return why_no_libvirt()


class OwnSshd:
    """Listens on `host`. `entering` is put before its command, for example to enter a namespace."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", entering: tuple[str, ...] = ()) -> None:
        self._host, self._entering = host, entering
        self._folder = folder / "sshd"
        self._folder.mkdir()
        self.authorized_keys = self._folder / "authorized_keys"
        self.authorized_keys.touch(mode=0o600)
        self.port = free_port()
        self.address = f"qemu+ssh://root@{host}:{self.port}/system"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, key: str = "first") -> str:
        """Returns the fingerprint of its host key, when sshd answers. Another `key` has another fingerprint."""
        path = self._folder / key
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", path], check=True)
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd drops privileges there
        options = {
            "ListenAddress": self._host,
            "AuthorizedKeysFile": str(self.authorized_keys),
            "PasswordAuthentication": "no",
            "StrictModes": "no",
            "PermitRootLogin": "prohibit-password",
            "UsePAM": "no",
            "PidFile": "none",
        }
        command = [*self._entering, SSHD, "-D", "-f", "/dev/null", "-h", str(path), "-p", str(self.port)]
        command += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait()
        shown = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True)
        return shown.stdout.split()[1]

    def _wait(self) -> None:
        ends_at = time.monotonic() + START_S
        while True:
            with suppress(OSError), socket.create_connection((self._host, self.port), timeout=1):
                return
            assert time.monotonic() < ends_at, (self._folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends sshd with its sessions."""
        if self._process is not None:
            logins = _children(self._process.pid)
            self._process.kill()
            self._process.wait(30)
            for process in logins:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._process = None

    def let_in(self, public_key: str) -> None:
        with self.authorized_keys.open("a") as keys:
            keys.write(public_key.strip() + "\n")


def _children(process: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()}

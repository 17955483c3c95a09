"""What the lab's tests need of this machine. Each question is answered by None, or by the reason to print."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LAB_DIR = Path(os.environ.get("LAB_DIR", "/tmp/hypervisor-lab"))  # noqa: S108  the lab script's own default
SSH_PORT = int(os.environ.get("LAB_SSH_PORT", "2222"))
_LIBVIRT_SOCKET = Path("/run/libvirt/libvirt-sock")


def why_no_libvirt() -> str | None:
    if os.geteuid() != 0:
        return "needs root: the lab's libvirt is the system's"
    if shutil.which("qemu-system-x86_64") is None:
        return "needs QEMU: tests/lab/lab install"
    if not _LIBVIRT_SOCKET.exists():
        return "needs a running libvirtd: tests/lab/lab up-libvirt"
    return None


def why_no_ssh() -> str | None:
    if not (LAB_DIR / "ssh" / "client").exists() or not (LAB_DIR / "sshd.pid").exists():
        return f"needs the lab's sshd: tests/lab/lab up-ssh {SSH_PORT}, and LAB_DIR"
    return why_no_libvirt()

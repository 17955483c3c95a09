"""What the lab's tests need of this machine. Each question is answered by None, or by the reason to print."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LAB_DIR = Path(os.environ.get("LAB_DIR", "/tmp/hypervisor-lab"))  # noqa: S108  the lab script's own default
SSH_PORT = int(os.environ.get("LAB_SSH_PORT", "2222"))
HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")
_LIBVIRT_SOCKET = Path("/run/libvirt/libvirt-sock")


def why_no_lxd_pool(driver: str) -> str | None:
    """Whether LXD can make a storage pool of that kind here: it takes the kernel's help and a program."""
    kernel = {
        "btrfs": (Path("/proc/filesystems"), "btrfs"),
        "lvm": (Path("/proc/devices"), "device-mapper"),
        "zfs": (Path("/proc/misc"), "zfs"),
    }
    program = {"btrfs": "mkfs.btrfs", "lvm": "lvcreate", "zfs": "zpool"}
    if driver in kernel:
        told, word = kernel[driver]
        if word not in told.read_text():
            return f"needs a kernel with {word}: {told} does not list it"
        if shutil.which(program[driver]) is None:
            return f"needs {program[driver]}: tests/lab/lab install-lxd"
    return None


def why_no_huge_pages() -> str | None:
    if os.geteuid() != 0 or not os.access(HUGE_PAGES, os.W_OK):
        return f"needs root and a kernel with huge pages: {HUGE_PAGES} cannot be written"
    return None


def why_no_volume_groups() -> str | None:
    if shutil.which("vgcreate") is None:
        return "needs LVM: tests/lab/lab install"
    return None


def why_no_logical_volumes() -> str | None:
    if "device-mapper" not in Path("/proc/devices").read_text():
        return "needs a kernel with device-mapper: /proc/devices does not list it"
    return None


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

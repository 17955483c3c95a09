"""What the tests of the lab require of this machine; each function returns None or the reason to skip."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

LAB_DIR = Path(os.environ.get("LAB_DIR", "/tmp/hypervisor-lab"))  # noqa: S108  the lab script's own default
SSH_PORT = int(os.environ.get("LAB_SSH_PORT", "2222"))
HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")
_LIBVIRT_SOCKET = Path("/run/libvirt/libvirt-sock")


def require(why_not: str | None) -> None:
    """Skips the test for this reason, if there is one."""
    if why_not is not None:
        pytest.skip(why_not)


def why_no_lxd_pool(driver: str) -> str | None:
    """LXD needs a kernel driver and a program for a storage pool of this kind."""
    kernel = {
        "btrfs": (Path("/proc/filesystems"), "btrfs"),
        "lvm": (Path("/proc/devices"), "device-mapper"),
        "zfs": (Path("/proc/misc"), "zfs"),
    }
    program = {"btrfs": "mkfs.btrfs", "lvm": "lvcreate", "zfs": "zpool"}
    if driver in kernel:
        listed, word = kernel[driver]
        if word not in listed.read_text():
            return f"requires a kernel with {word}: {listed} does not list it"
        if shutil.which(program[driver]) is None:
            return f"requires {program[driver]}: tests/lab/lab install-lxd"
    return None


def why_no_huge_pages() -> str | None:
    if os.geteuid() != 0 or not os.access(HUGE_PAGES, os.W_OK):
        return f"requires root and a kernel with huge pages: {HUGE_PAGES} cannot be written"
    return None


def why_no_volume_groups() -> str | None:
    if shutil.which("vgcreate") is None:
        return "requires LVM: tests/lab/lab install"
    return None


def why_no_logical_volumes() -> str | None:
    if "device-mapper" not in Path("/proc/devices").read_text():
        return "requires a kernel with device-mapper: /proc/devices does not list it"
    return None


def why_no_libvirt() -> str | None:
    if os.geteuid() != 0:
        return "requires root: the lab uses the system's libvirt"
    if shutil.which("qemu-system-x86_64") is None:
        return "requires QEMU: tests/lab/lab install"
    if not _LIBVIRT_SOCKET.exists():
        return "requires a running libvirtd: tests/lab/lab up-libvirt"
    return None


def why_no_tpm() -> str | None:
    if shutil.which("swtpm_setup") is None:
        return "requires swtpm: tests/lab/lab install"
    return None


def why_no_ssh() -> str | None:
    if not (LAB_DIR / "ssh" / "client").exists() or not (LAB_DIR / "sshd.pid").exists():
        return f"requires the lab's sshd: tests/lab/lab up-ssh {SSH_PORT}, and LAB_DIR"
    return why_no_libvirt()

"""Gives /dev/kvm the group and mode that udev would give it.

Without a service manager udev does not run, and only root can open the device. libvirtd, which runs as root, then takes
KVM for usable while QEMU, which does not, reports the opposite. So libvirt discards its cached QEMU capabilities and
probes QEMU again, for seconds, several times for each VM that it defines.
"""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

DEVICE = Path("/dev/kvm")
_GROUP = "kvm"
_KERNEL_MODE = 0o600
_UDEV_MODE = 0o660


def open_to_qemu(device: Path = DEVICE, group: str = _GROUP) -> bool:
    """Returns True if the device had the kernel's default mode and was changed. Never changes a configured device."""
    try:
        found = device.stat()
        group_id = grp.getgrnam(group).gr_gid
    except (FileNotFoundError, KeyError):
        return False
    if stat.S_IMODE(found.st_mode) != _KERNEL_MODE or found.st_uid != os.geteuid():
        return False
    os.chown(device, -1, group_id)
    device.chmod(_UDEV_MODE)
    return True

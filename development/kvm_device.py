"""The device for KVM, as udev leaves it. Where no service manager runs, udev does not, and the device is root's alone.

libvirtd, which is root, then takes KVM for usable, and QEMU, which is not, says otherwise. So libvirt believes none of
what it has learned about QEMU and asks again, which takes seconds, several times for every VM that it defines.
"""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

DEVICE = Path("/dev/kvm")
_GROUP = "kvm"
_UNTOUCHED = 0o600  # the kernel's own mode
_BY_UDEV = 0o660


def open_to_qemu(device: Path = DEVICE, group: str = _GROUP) -> bool:
    """Whether the device had its kernel's own mode and has that of udev now; one that anybody has set up stays so."""
    try:
        found = device.stat()
        group_id = grp.getgrnam(group).gr_gid
    except (FileNotFoundError, KeyError):
        return False
    if stat.S_IMODE(found.st_mode) != _UNTOUCHED or found.st_uid != os.geteuid():
        return False
    os.chown(device, -1, group_id)
    device.chmod(_BY_UDEV)
    return True

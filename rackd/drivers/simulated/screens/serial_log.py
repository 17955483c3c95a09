"""The serial output of a simulated guest: a short boot, derived from the host's file."""

from __future__ import annotations

import sqlite3

from common.addresses.simulated import SimulatedAddress
from common.values import Guest, PowerState
from rackd.drivers.simulated import deployments

_NOTHING_TO_BOOT = ("Booting from Hard Disk...", "No bootable device.")
_KERNEL = (
    "Loading Linux 6.1.0-simulated ...",
    "Loading initial ramdisk ...",
    "[    0.000000] Linux version 6.1.0-simulated (innkeeper) #1 SMP",
    "[    0.000000] Command line: BOOT_IMAGE=/boot/vmlinuz-6.1.0-simulated root=LABEL=root console=ttyS0",
)
_PANIC = (
    '[    1.402117] VFS: Cannot open root device "LABEL=root" or unknown-block(0,0): error -6',
    "[    1.402951] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
)
_SYSTEM = (
    "[    1.210456] EXT4-fs (vda1): mounted filesystem with ordered data mode",
    "[    2.031877] systemd[1]: Detected virtualization simulated.",
)


def serial_output(db: sqlite3.Connection, address: SimulatedAddress, guest: Guest) -> bytes:
    """Returns the output since the last start; nothing of a guest that is off."""
    if guest.power is not PowerState.ON:
        return b""
    if deployments.image_on(db, guest.guest_id) is None:
        lines: tuple[str, ...] = _NOTHING_TO_BOOT
    elif address.boot == "fails":
        lines = (*_KERNEL, *_size(guest), *_PANIC)
    else:
        lines = (*_KERNEL, *_size(guest), *_SYSTEM)
        if guest.guest_id not in {booting for booting, _ in deployments.boots(db)}:
            lines += ("cloud-init finished.", "", f"{guest.name} login: ")
            return "\r\n".join(lines).encode()
    return "".join(f"{line}\r\n" for line in lines).encode()


def _size(guest: Guest) -> tuple[str, ...]:
    return (
        f"[    0.004122] smp: Brought up 1 node, {guest.cores} CPUs",
        f"[    0.018834] Memory: {guest.memory_mib * 1024}K available",
    )

"""How the disks of an LXD virtual machine are called: LXD makes each one's serial number from its device's name."""

from __future__ import annotations


def device_name(index: int) -> str:
    """The device of a machine's disk `index` (from 0): `root`, `disk1`, `disk2`, …"""
    return "root" if index == 0 else f"disk{index}"


def serial_of(device: str) -> str:
    """What the guest sees as the serial number of that device."""
    return f"lxd_{device}"

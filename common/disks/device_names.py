"""Names of a guest's disks: LXD device names and serial numbers, and Linux block device names."""

from __future__ import annotations


def lxd_device_name(index: int) -> str:
    """Returns the LXD device of a machine's disk `index` (from 0): `root`, `disk1`, `disk2`, …"""
    return "root" if index == 0 else f"disk{index}"


def lxd_serial(device: str, *, product: str = "LXD") -> str:
    """Returns the serial number that the guest sees: LXD, or Incus, derives it from the device name."""
    return f"{product.lower() or 'lxd'}_{device}"


def block_device_name(prefix: str, index: int) -> str:
    """Returns the name that Linux gives to a disk: with the prefix `sd`, `sda` for 0, `sdz` for 25, `sdaa` for 26."""
    letters, number = "", index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return prefix + letters

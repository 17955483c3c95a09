"""Changes of a running VM: LXD applies some, refuses others, and fails to report some to a guest without an agent."""

from __future__ import annotations

from collections.abc import Mapping

from rackd.drivers.lxd.inventory.config_values import size_bytes
from tests.lxd_http.messages import NotModelled, Refused
from tests.lxd_http.state import Devices

_FIXED = frozenset({"limits.memory.hugepages"})
_LIVE_DISK_KEYS = frozenset({"limits.max", "limits.read", "limits.write", "size"})
_NOT_NOTIFIED = "LXD VM agent isn't currently running"


def check(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Refuses what LXD cannot change while the VM runs; the config is unchanged then."""
    for key in sorted(_changed(before, after)):
        if key in _FIXED or key.startswith("raw."):
            raise Refused(500, f'Key "{key}" cannot be updated when VM is running')
        if key == "limits.cpu" and not after.get(key, "").isdecimal():
            raise Refused(500, "Cannot change CPU pinning when VM is running")
        if key == "limits.memory" and size_bytes(after.get(key, "1GiB")) > size_bytes(before.get(key, "1GiB")):
            raise Refused(
                500,
                "Failed updating memory limit: Cannot increase memory size beyond boot time size when VM is running",
            )


def check_disks(before: Devices, after: Devices) -> None:
    """LXD unplugs a disk whose other keys change, and plugs it in again: no driver may do that to a running guest."""
    for name, device in after.items():
        old = before.get(name, device)
        keys = {key for key in {*old, *device} if old.get(key) != device.get(key)}
        if device.get("type") == "disk" and not keys <= _LIVE_DISK_KEYS:
            raise NotModelled(f"a change of {', '.join(sorted(keys))} of the disk {name} while its VM runs")


def report_to_guest(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """LXD reports changes of `user.` keys to its agent in the guest. None runs here; the config is changed already."""
    if any(key.startswith("user.") for key in _changed(before, after)):
        raise Refused(500, _NOT_NOTIFIED)


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}

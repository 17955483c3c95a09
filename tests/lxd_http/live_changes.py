"""Changes of a running VM: LXD applies some, refuses others, and fails to report some to a guest without an agent."""

from __future__ import annotations

from collections.abc import Mapping

from rackd.drivers.lxd.inventory.config_values import size_bytes
from tests.lxd_http.messages import NotModelled, Refused
from tests.lxd_http.server import CORES
from tests.lxd_http.state import Devices, Lxd

_FIXED = frozenset({"limits.memory.hugepages"})
_LIVE_DISK_KEYS = frozenset({"dependent", "limits.max", "limits.read", "limits.write", "size"})
_NOT_NOTIFIED = "LXD VM agent isn't currently running"


def check(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Refuses what LXD cannot change while the VM runs; the config is unchanged then."""
    for key in sorted(_changed(before, after)):
        if key in _FIXED or key.startswith("raw."):
            raise Refused(500, f'Key "{key}" cannot be updated when VM is running')
        if key == "limits.cpu":
            _check_cores(before.get(key, "1"), after.get(key, "1"))
        if key == "limits.memory":
            _check_memory(size_bytes(before.get(key, "1GiB")), size_bytes(after.get(key, "1GiB")))


def _check_cores(before: str, after: str) -> None:
    """The processor of an emulated VM cannot lose a core, as in the lab."""
    if not before.isdecimal():
        raise Refused(500, 'Cannot update key "limits.cpu" when using CPU pinning and the VM is running')
    if not after.isdecimal():
        raise Refused(500, "Cannot change CPU pinning when VM is running")
    if int(after) > CORES:
        raise Refused(500, "Failed updating cpu limit: Cannot allocate more CPUs than available")
    if int(after) < int(before):
        unplugged = "acpi: device unplug request for not supported device type: max-x86_64-cpu"
        raise Refused(500, f"Failed updating cpu limit: Failed to remove CPU: {unplugged}")


def _check_memory(before: int, after: int) -> None:
    if after < before:
        raise NotModelled("less memory of a running VM: no driver may take it away")
    if after > before:
        sizes = f"Boot time size {before >> 20}MiB, new size {after >> 20}MiB"
        refused = "Cannot increase memory size beyond boot time size when VM is running"
        raise Refused(500, f"Failed updating memory limit: {refused} ({sizes})")


def check_disks(lxd: Lxd, instance: str, before: Devices, after: Devices) -> None:
    """LXD plugs disks in and takes them away, unless QEMU refuses that.

    It unplugs a disk whose other keys change, and plugs it in again: no driver may do that to a running guest.
    """
    for name in before.keys() - after.keys():
        if before[name].get("type") == "disk" and instance in lxd.clinging:
            raise Refused(500, f'Failed to stop device "{name}": Failed removing block device: Node is in use')
    for name in after.keys() - before.keys():
        if after[name].get("source") in lxd.directories:
            raise Refused(500, f'Failed to start device "{name}": Cannot attach directory while instance is running')
    for name, device in after.items():
        old = before.get(name, device)
        keys = {key for key in {*old, *device} if old.get(key) != device.get(key)}
        other_iso = keys == {"source"} and lxd.content_type(device) == lxd.content_type(old) == "iso"
        if device.get("type") == "disk" and not keys <= _LIVE_DISK_KEYS and not other_iso:
            raise NotModelled(f"a change of {', '.join(sorted(keys))} of the disk {name} while its VM runs")


def report_to_guest(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """LXD reports changes of `user.` keys to its agent in the guest. None runs here; the config is changed already."""
    if any(key.startswith("user.") for key in _changed(before, after)):
        raise Refused(500, _NOT_NOTIFIED)


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}

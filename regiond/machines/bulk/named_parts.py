"""The disk or NIC that has one name on each of many machines. Pure."""

from __future__ import annotations

from attrs import frozen

from common.errors import NotFound
from regiond.machines.values.disk_references import named_disk
from regiond.machines.values.disks import NamedDisk
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.placement.storage_assignment import whole_size


@frozen
class Need:
    """Bytes of the storage pool with this name on the machine's host."""

    pool: str
    size_bytes: int


def named_nic(machine: MachineView, name: str) -> NicView:
    """Returns the NIC. Raises NotFound."""
    found = next((one for one in machine.nics if one.name == name), None)
    if found is None:
        raise NotFound(f"{machine.hostname} has no NIC {name}; it has {_listed([one.name for one in machine.nics])}.")
    return found


def needed(machine: MachineView, change: NamedDisk) -> Need:
    """Returns what the change of the machine's disk claims more. Raises NotFound and InvalidRequest."""
    disk = named_disk(machine.hostname, machine.disks, change.name)
    if change.pool is not None:
        return Need(pool=change.pool, size_bytes=disk.held_bytes)
    wanted_bytes = 0 if change.size_bytes is None else whole_size(change.size_bytes, product=machine.product)
    more_bytes = max(0, wanted_bytes - disk.held_bytes)
    return Need(pool=disk.storage_pool_name, size_bytes=more_bytes)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"

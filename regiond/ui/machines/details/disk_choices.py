"""The changes of disks that the page of a VM offers. Pure."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from regiond.machines.hardware.disks.model import is_owned
from regiond.machines.values.model import MachineView


@frozen(kw_only=True)
class DiskChoices:
    """Whether disks can be added, and the ids of those that can be grown, moved, removed and adopted."""

    may_add: bool = False
    grows: frozenset[int] = frozenset()
    moves: frozenset[int] = frozenset()
    removes: frozenset[int] = frozenset()
    adopts: frozenset[int] = frozenset()


def disk_choices(machine: MachineView, installation_id: UUID, *, may_change: bool) -> DiskChoices:
    """Returns what can be offered: the first disk is not removed, nor is one changed that is not the machine's own."""
    if not may_change or machine.host_id is None or machine.guest_id is None:
        return DiskChoices()
    ours = [disk for disk in machine.disks if is_owned(disk, installation_id)]
    return DiskChoices(
        may_add=True,
        grows=frozenset(disk.id for disk in ours),
        moves=frozenset(disk.id for disk in ours),
        removes=frozenset(disk.id for disk in ours if disk.index != 0),
        adopts=frozenset(disk.id for disk in machine.disks if disk.is_foreign),
    )

"""The fates of a machine's disks when its guest is deleted. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from enum import StrEnum
from uuid import UUID

from attrs import frozen

from common.disks.volume_names import marker_of_volume
from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts
from common.values import DriverType, OwnershipMarker
from regiond.machines.values.disks import DiskOrigin, DiskView
from regiond.machines.values.model import MachineView


class DiskFate(StrEnum):
    DELETED = "deleted"  # with the guest
    KEPT = "kept"  # stays on its host with its content, and is a kept disk from then on
    LEFT = "left"  # stays on its host as it is, and is nobody's but the host's


def disk_fate(disk: DiskView, *, driver: str | None, marker: OwnershipMarker) -> DiskFate:
    """Returns the fate of a disk of the machine with `marker`, whose host has `driver`.

    Only an LXD root disk is deleted without the name of a volume of the machine: it is part of its instance.
    """
    if disk.is_foreign or disk.missing:
        return DiskFate.LEFT
    if marker_of_volume(disk.volume) == marker:
        return DiskFate.DELETED
    if driver == DriverType.LXD.value and _is_part_of_instance(disk):
        return DiskFate.DELETED
    return DiskFate.KEPT if disk.is_volume else DiskFate.LEFT


def _is_part_of_instance(disk: DiskView) -> bool:
    is_first = disk.index == 0 and disk.origin is DiskOrigin.CREATED and marker_of_volume(disk.volume) is None
    return is_first or not disk.is_volume


@frozen(kw_only=True)
class RemainingDisks:
    """Disks that stay: `kept` become kept disks, `left` are nobody's but the host's, `shared` are in use by another
    guest, too. `deleted` go with the guest. `facts` are those of the guest.

    `outside` describes those that are in no storage pool of the host, which the ledger does not know.
    """

    deleted: tuple[DiskView, ...]
    kept: tuple[DiskView, ...] = ()
    left: tuple[DiskView, ...] = ()
    shared: tuple[DiskView, ...] = ()
    outside: tuple[str, ...] = ()
    facts: RemovalFacts = NO_REMOVAL_FACTS

    @property
    def left_texts(self) -> tuple[str, ...]:
        return (*map(place, self.left), *self.outside)

    @property
    def shared_texts(self) -> tuple[str, ...]:
        return tuple(map(place, self.shared))

    @property
    def kept_texts(self) -> tuple[str, ...]:
        return tuple(map(place, self.kept))


def place(disk: DiskView) -> str:
    return f"{disk.storage_pool_name}/{disk.volume}"


def remaining_disks(
    machine: MachineView,
    installation_id: UUID,
    outside: Iterable[str] = (),
    lacked: Collection[int] = (),
    facts: RemovalFacts = NO_REMOVAL_FACTS,
) -> RemainingDisks:
    """Returns the disks of the machine by fate. `outside` are devices of its guest that are in no storage pool.

    `lacked` are the ids of disks that its guest does not have. The name of such a one that Innkeeper did not make may
    be that of somebody else's volume: it is left out.
    """
    marker = OwnershipMarker(installation_id=installation_id, machine_id=machine.uuid)
    found: defaultdict[DiskFate, list[DiskView]] = defaultdict(list)
    shared = []
    for disk in machine.disks:
        if disk.id in lacked and marker_of_volume(disk.volume) is None:
            continue
        fate = disk_fate(disk, driver=machine.driver, marker=marker)
        if fate is not DiskFate.LEFT and f"{disk.storage_pool_key}/{disk.volume}" in facts.shared_volumes:
            shared.append(disk)
        else:
            found[fate].append(disk)
    deleted, kept, left = (tuple(found[fate]) for fate in DiskFate)
    texts = tuple(f"{device} (in no storage pool)" for device in outside)
    return RemainingDisks(deleted=deleted, kept=kept, left=left, shared=tuple(shared), outside=texts, facts=facts)

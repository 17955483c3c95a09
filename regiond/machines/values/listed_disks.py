"""Compares the disks of a machine with those of its guest, as its host reports them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen

from common.units import BYTES_PER_GB
from regiond.hosts.guest_record import is_rounded
from regiond.machines.values.disks import DiskOrigin


@frozen(kw_only=True)
class LedgerDisk:
    """A disk of a machine. `pool` is the name of its storage pool."""

    id: int
    index: int
    volume: str
    pool_id: int
    pool: str
    size_bytes: int
    serial: str
    origin: DiskOrigin = field(default=DiskOrigin.CREATED, converter=DiskOrigin)

    @property
    def text(self) -> str:
        return f"disk {self.index} ({self.volume}, {_gb(self.size_bytes)} in {self.pool})"


@frozen(kw_only=True)
class ActualDisk:
    """A disk of a guest. `volume` is the device of a disk without a volume of its own.

    `pool_id` is None if the disk is in no known storage pool.
    """

    device: str
    volume: str
    pool_id: int | None
    pool: str
    size_bytes: int
    serial: str
    missing: bool = False

    @property
    def text(self) -> str:
        return f"{self.device} ({self.volume}, {_gb(self.size_bytes)} in {self.pool})"


@frozen(kw_only=True)
class ListedDisks:
    """The disks of a machine, and those of its guest on the machine's host."""

    id: int  # of the machine
    ledger: tuple[LedgerDisk, ...]
    actual: tuple[ActualDisk, ...]


@frozen(kw_only=True)
class Comparison:
    """The compared disks. `same` has pairs of the machine's and the guest's disks; the others have no counterpart."""

    same: tuple[tuple[LedgerDisk, ActualDisk], ...]
    detached: tuple[LedgerDisk, ...]
    attached: tuple[ActualDisk, ...]


def compared(machine: ListedDisks) -> Comparison:
    """Pairs disks by volume, then by serial number: a snapshot by the hypervisor changes the volume of a disk.

    Pairs disks in no known storage pool last, by their other attributes: the hypervisor shows no volume of such a disk.
    """
    unpaired = list(machine.actual)
    same: list[tuple[LedgerDisk, ActualDisk]] = []
    for is_same in (has_volume, _has_serial, _may_be):
        paired = {disk.id for disk, _ in same}
        for disk in machine.ledger:
            found = next((one for one in unpaired if disk.id not in paired and is_same(disk, one)), None)
            if found is not None:
                unpaired.remove(found)
                same.append((disk, found))
    paired = {disk.id for disk, _ in same}
    return Comparison(
        same=tuple(sorted(same, key=lambda pair: pair[0].index)),
        detached=tuple(disk for disk in machine.ledger if disk.id not in paired),
        attached=tuple(one for one in unpaired if one.size_bytes and not one.missing and one.pool_id is not None),
    )


def grown(comparison: Comparison) -> tuple[tuple[LedgerDisk, ActualDisk], ...]:
    """Returns the disks that are larger on the host than in the ledger. Their volumes are the same."""
    return tuple(
        (disk, actual)
        for disk, actual in comparison.same
        if has_volume(disk, actual) and is_resized(disk, actual) and actual.size_bytes > disk.size_bytes
    )


def is_only_more(comparison: Comparison) -> bool:
    """Returns whether the guest has all that the machine has, apart from foreign disks, and perhaps more: what the
    region records on its own.
    """
    larger = {disk.id for disk, _ in grown(comparison)}
    return all(
        disk.origin is DiskOrigin.FOREIGN or _was_no_volume(disk, comparison.attached) for disk in comparison.detached
    ) and all(
        actual.pool_id is None or (has_volume(disk, actual) and (disk.id in larger or not is_resized(disk, actual)))
        for disk, actual in comparison.same
    )


def _was_no_volume(disk: LedgerDisk, attached: Iterable[ActualDisk]) -> bool:
    """Returns whether the disk was adopted as the volume of its name, but is a file that is no volume.

    Release 1.0 took a file in a folder inside a storage pool for the pool's own volume of that name.
    """
    return any(
        _is_other_file(disk, one) and one.pool_id == disk.pool_id and not is_resized(disk, one) for one in attached
    )


def _is_other_file(disk: LedgerDisk, actual: ActualDisk) -> bool:
    """Returns whether the disk was adopted as a volume, and the actual one is in a storage pool, but no volume."""
    return disk.origin is DiskOrigin.ADOPTED and actual.pool_id is not None and actual.volume == actual.device


def is_resized(disk: LedgerDisk, actual: ActualDisk) -> bool:
    """Returns whether the sizes differ; the size of a disk that is missing or was not read (0 bytes) is unknown."""
    known = actual.size_bytes and not actual.missing
    return bool(known) and not is_rounded(disk.size_bytes, actual.size_bytes)


def has_volume(disk: LedgerDisk, actual: ActualDisk) -> bool:
    """Returns whether both have the same volume, of the same storage pool."""
    return (disk.volume, disk.pool_id) == (actual.volume, actual.pool_id)


def _has_serial(disk: LedgerDisk, actual: ActualDisk) -> bool:
    return bool(disk.serial) and disk.serial == actual.serial and not _is_other_file(disk, actual)


def _may_be(disk: LedgerDisk, actual: ActualDisk) -> bool:
    if actual.pool_id is not None:
        return False
    return disk.volume == actual.device or not (disk.serial or actual.serial)


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / BYTES_PER_GB:.1f} GB"

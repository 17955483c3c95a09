"""Finds machines whose guest has other disks than the ledger, or a disk whose volume does not exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from common.units import BYTES_PER_GB
from common.volume_names import marker_of_volume
from regiond.hosts.model import is_rounded
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, MachineSubject, RepairPolicy


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
class MachineDisks(MachineSubject):
    """The disks of a machine on which no operation acts, and those of its guest on the machine's host."""

    is_on: bool
    ledger: tuple[LedgerDisk, ...]
    actual: tuple[ActualDisk, ...]


@frozen(kw_only=True)
class Comparison:
    """The compared disks. `same` has pairs of the machine's and the guest's disks; the others have no counterpart."""

    same: tuple[tuple[LedgerDisk, ActualDisk], ...]
    detached: tuple[LedgerDisk, ...]
    attached: tuple[ActualDisk, ...]


def compared(machine: MachineDisks) -> Comparison:
    """Pairs disks by volume, then by serial number: a snapshot by the hypervisor changes the volume of a disk.

    Pairs disks in no known storage pool last, by their other attributes: the hypervisor shows no volume of such a disk.
    """
    unpaired = list(machine.actual)
    same: list[tuple[LedgerDisk, ActualDisk]] = []
    for is_same in (_has_volume, _has_serial, _may_be):
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


def detect(machine: MachineDisks) -> Iterator[Discrepancy]:
    """Yields the discrepancies of the machine. It can have both kinds: a disk without a volume, and other disks."""
    missing = [one for one in machine.actual if one.missing and one.pool_id is not None]
    if missing:
        yield _missing(machine, missing)
    comparison = compared(machine)
    found = list(_differences(comparison))
    if found:
        yield _changed(machine, found, comparison)


def _missing(machine: MachineDisks, missing: Sequence[ActualDisk]) -> Discrepancy:
    volumes = ", ".join(f"{one.volume} in {one.pool} ({one.device})" for one in missing)
    effect = "it runs, but cannot start again" if machine.is_on else "it cannot start"
    return Discrepancy.of(
        machine,
        DiscrepancyKind.VOLUME_MISSING,
        RepairPolicy.NONE,
        data_at_risk=True,
        found=f"no volume {volumes}: {effect}",
        expected="a volume for each disk of its guest",
        remedy=f"Restore the volume under its name and refresh {machine.host_name}, detach the disk from the guest, or "
        f"delete {machine.hostname}.",
    )


def _changed(machine: MachineDisks, found: Sequence[str], comparison: Comparison) -> Discrepancy:
    """Returns the discrepancy of changed disks.

    An approval never makes another disk the root disk: a release or a deployment would delete its content.
    """
    lost = _lost_root(comparison)
    if lost is not None:
        return Discrepancy.of(
            machine,
            DiscrepancyKind.DISKS_CHANGED,
            RepairPolicy.NONE,
            data_at_risk=True,
            found="; ".join(found),
            expected=", ".join(disk.text for disk in machine.ledger),
            remedy=f"Give {machine.hostname} its root disk {lost.volume} back, for example by merging the snapshot "
            f"into it (virsh blockcommit), and refresh {machine.host_name}; or delete {machine.hostname}. Until then "
            "it can be neither deployed nor released with an operating system.",
        )
    return Discrepancy.of(
        machine,
        DiscrepancyKind.DISKS_CHANGED,
        RepairPolicy.APPROVAL,
        ours=True,
        data_at_risk=bool(comparison.detached),
        found="; ".join(found),
        expected=", ".join(disk.text for disk in machine.ledger) or "no disks",
        remedy=f"This records for {machine.hostname} the disks that its guest has, and changes no disk.",
    )


def _lost_root(comparison: Comparison) -> LedgerDisk | None:
    """Returns the root disk that Innkeeper created, if the guest does not have its volume."""
    pairs = [*comparison.same, *((disk, None) for disk in comparison.detached)]
    for disk, actual in pairs:
        ours = disk.index == 0 and marker_of_volume(disk.volume) is not None
        if ours and (actual is None or (actual.pool_id is not None and actual.volume != disk.volume)):
            return disk
    return None


def _differences(comparison: Comparison) -> Iterator[str]:
    for disk, actual in comparison.same:
        if actual.pool_id is None:
            continue
        if (disk.volume, disk.pool_id) != (actual.volume, actual.pool_id):
            yield f"disk {disk.index} is {actual.volume} in {actual.pool}"
        if is_resized(disk, actual):
            yield f"disk {disk.index} has {_gb(actual.size_bytes)}"
    for disk in comparison.detached:
        yield f"its guest does not have {disk.text}"
    for actual in comparison.attached:
        yield f"its guest also has {actual.text}"


def is_resized(disk: LedgerDisk, actual: ActualDisk) -> bool:
    """Returns whether the sizes differ; the size of a disk that is missing or was not read (0 bytes) is unknown."""
    known = actual.size_bytes and not actual.missing
    return bool(known) and not is_rounded(disk.size_bytes, actual.size_bytes)


def _has_volume(disk: LedgerDisk, actual: ActualDisk) -> bool:
    return (disk.volume, disk.pool_id) == (actual.volume, actual.pool_id)


def _has_serial(disk: LedgerDisk, actual: ActualDisk) -> bool:
    return bool(disk.serial) and disk.serial == actual.serial


def _may_be(disk: LedgerDisk, actual: ActualDisk) -> bool:
    if actual.pool_id is not None:
        return False
    return disk.volume == actual.device or not (disk.serial or actual.serial)


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / BYTES_PER_GB:.1f} GB"

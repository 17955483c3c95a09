"""Finds machines whose guest has other disks than the ledger, or a disk whose volume does not exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from attrs import frozen

from common.disks.volume_names import marker_of_ours
from common.units import BYTES_PER_GB
from regiond.machines.values.listed_disks import (
    ActualDisk,
    Comparison,
    LedgerDisk,
    ListedDisks,
    compared,
    is_only_more,
    is_resized,
)
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, MachineSubject, RepairPolicy


@frozen(kw_only=True)
class MachineDisks(MachineSubject):
    """The disks of a machine on which no operation acts, and those of its guest on the machine's host."""

    is_on: bool
    disks: ListedDisks
    installation_id: UUID


def detect(machine: MachineDisks) -> Iterator[Discrepancy]:
    """Yields the discrepancies of the machine. It can have both kinds: a disk without a volume, and other disks."""
    missing = [one for one in machine.disks.actual if one.missing and one.pool_id is not None]
    if missing:
        yield _missing(machine, missing)
    comparison = compared(machine.disks)
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
    lost = _lost_root(comparison, machine.installation_id)
    if lost is not None:
        return Discrepancy.of(
            machine,
            DiscrepancyKind.DISKS_CHANGED,
            RepairPolicy.NONE,
            data_at_risk=True,
            found="; ".join(found),
            expected=", ".join(disk.text for disk in machine.disks.ledger),
            remedy=f"Give {machine.hostname} its root disk {lost.volume} back, for example by merging the snapshot "
            f"into it (virsh blockcommit), and refresh {machine.host_name}; or delete {machine.hostname}. Until then "
            "it can be neither deployed nor released with an operating system.",
        )
    return Discrepancy.of(
        machine,
        DiscrepancyKind.DISKS_CHANGED,
        RepairPolicy.AUTOMATIC if is_only_more(comparison) else RepairPolicy.APPROVAL,
        ours=True,
        data_at_risk=bool(comparison.detached),
        found="; ".join(found),
        expected=", ".join(disk.text for disk in machine.disks.ledger) or "no disks",
        remedy=f"This records for {machine.hostname} the disks that its guest has, and changes no disk.",
    )


def _lost_root(comparison: Comparison, installation_id: UUID) -> LedgerDisk | None:
    """Returns the root disk that Innkeeper created, if the guest does not have its volume."""
    pairs = [*comparison.same, *((disk, None) for disk in comparison.detached)]
    for disk, actual in pairs:
        ours = disk.index == 0 and marker_of_ours(disk.volume, installation_id) is not None
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


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / BYTES_PER_GB:.1f} GB"

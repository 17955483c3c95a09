"""Finds the machines whose claims on storage pools differ from the disks that their guests have. Pure.

A guest uses the space of its disks, whatever its machine was composed with. Its machine claims this space, even beyond
the capacity of the pool. A run does not change claims for guests that could not be read fully, nor claims on storage
pools that it does not report as available.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from attrs import frozen

from common.hosts.discovery import Discovery
from common.units import BYTES_PER_GB
from regiond.hosts.discovery.snapshot import MachineSnapshot, ServerSnapshot
from regiond.hosts.guest_record import GuestRecord, is_rounded


@frozen(kw_only=True)
class StorageChange:
    """The space of a machine's disks in the available storage pools (by key), now and in the ledger."""

    guest: GuestRecord
    machine_id: int
    now: Mapping[str, int]
    before: Mapping[str, int]

    @property
    def is_more_than_rounding(self) -> bool:
        pools = {*self.now, *self.before}
        return any(not is_rounded(self.before.get(key, 0), self.now.get(key, 0)) for key in pools)

    @property
    def text(self) -> str:
        """Such as `12.0 GB in default, 0.0 GB in fast; the ledger had 4.0 GB in default, 5.0 GB in fast`."""
        pools = sorted({*self.now, *self.before})
        return f"{_text(self.now, pools)}; the ledger had {_text(self.before, pools)}"


def storage_changes(
    discovery: Discovery, records: Iterable[GuestRecord], snapshot: ServerSnapshot
) -> tuple[StorageChange, ...]:
    """Returns the changes of machines whose claims have to be written, by id."""
    available = {pool.pool_id for pool in discovery.facts.storage_pools if pool.is_available}
    unread = {problem.subject for problem in discovery.problems}
    machines = {machine.id: machine for machine in snapshot.machines.values() if _is_comparable(machine)}
    found = [
        StorageChange(
            guest=record,
            machine_id=record.machine_id,
            now=_of_pools(record.disk_bytes(), available),
            before=_of_pools(snapshot.storage.get(record.machine_id, {}), available),
        )
        for record in records
        if record.machine_id in machines and record.machine_id is not None and record.name not in unread
    ]
    return tuple(sorted((one for one in found if one.now != one.before), key=lambda one: one.machine_id))


def newly_missing(record: GuestRecord, before: GuestRecord | None) -> tuple[str, ...]:
    """Returns the volumes that the guest's disks have lost since the last run."""
    known = set() if before is None else set(before.missing_volumes())
    return tuple(volume for volume in record.missing_volumes() if volume not in known)


def _is_comparable(machine: MachineSnapshot) -> bool:
    """Returns False for a machine that its cluster has just moved: its claims have to follow it first."""
    return machine.settled and machine.on_this_server


def _of_pools(amounts: Mapping[str, int], pools: Container[str]) -> dict[str, int]:
    return {key: amount for key, amount in amounts.items() if key in pools and amount}


def _text(amounts: Mapping[str, int], pools: Iterable[str]) -> str:
    return ", ".join(f"{amounts.get(key, 0) / BYTES_PER_GB:.1f} GB in {key}" for key in pools)

"""What the removal of a host deletes, and what it keeps. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from regiond.hosts.model import GuestView, HostRemoval
from regiond.machines.model import DiskView, MachineView


@frozen(kw_only=True)
class AffectedGuest:
    """A guest of a host that is to be removed. `system_id` is None if it is not a machine; `disks` are then unknown."""

    name: str
    host_name: str
    system_id: str | None
    adopted: bool
    locked: bool
    power_state: str
    disks: tuple[DiskView, ...]

    @property
    def description(self) -> str:
        """The name, what it is, and its volumes."""
        kind = "foreign VM" if self.system_id is None else "adopted" if self.adopted else "machine"
        volumes = ", ".join(f"{disk.storage_pool_name}/{disk.volume}" for disk in self.disks)
        return f"{self.name} ({kind}{': ' if volumes else ''}{volumes})"


@frozen(kw_only=True)
class HostRemovalPlan:
    """`name` is that of the host or cluster. The guests in `deleted` and their disks are destroyed; `kept` stay."""

    name: str
    deleted: tuple[AffectedGuest, ...]
    kept: tuple[AffectedGuest, ...]


def removal_plan(
    host_name: str, removal: HostRemoval, machines: Iterable[MachineView], foreign: Iterable[GuestView]
) -> HostRemovalPlan:
    """`machines` are all machines of the host, `foreign` its other guests."""
    deleted: list[AffectedGuest] = []
    kept: list[AffectedGuest] = []
    for machine in machines:
        (deleted if removal.deletes(adopted=machine.adopted) else kept).append(affected_machine(host_name, machine))
    kept += [
        AffectedGuest(
            name=guest.name,
            host_name=host_name,
            system_id=None,
            adopted=False,
            locked=False,
            power_state=guest.power_state,
            disks=(),
        )
        for guest in foreign
    ]
    return HostRemovalPlan(name=host_name, deleted=tuple(deleted), kept=tuple(kept))


def combined(name: str, plans: Iterable[HostRemovalPlan]) -> HostRemovalPlan:
    """The plan of a cluster from those of its members."""
    found = tuple(plans)
    return HostRemovalPlan(
        name=name,
        deleted=tuple(guest for plan in found for guest in plan.deleted),
        kept=tuple(guest for plan in found for guest in plan.kept),
    )


def affected_machine(host_name: str, machine: MachineView) -> AffectedGuest:
    return AffectedGuest(
        name=machine.hostname,
        host_name=host_name,
        system_id=machine.system_id,
        adopted=machine.adopted,
        locked=machine.locked,
        power_state=machine.power_state,
        disks=machine.disks,
    )

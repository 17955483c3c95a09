"""What the removal of a host deletes, and what it keeps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from regiond.hosts.model import CertificateFate, GuestView, HostRemoval
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
    guest_name: str = ""  # on the host; empty if unknown
    addresses: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """The name, what it is, and its volumes."""
        kind = "foreign VM" if self.system_id is None else "adopted" if self.adopted else "machine"
        volumes = ", ".join(f"{disk.storage_pool_name}/{disk.volume}" for disk in self.disks)
        return f"{self.name} ({kind}{': ' if volumes else ''}{volumes})"


@frozen(kw_only=True)
class HostRemovalPlan:
    """`name` is that of the host or cluster. The guests in `deleted` and their disks are destroyed; `kept` stay.

    The records of the machines in `lost` end, and nothing is done to their guests on the dead host.
    """

    name: str
    deleted: tuple[AffectedGuest, ...]
    kept: tuple[AffectedGuest, ...]
    lost: tuple[AffectedGuest, ...] = ()
    certificates: tuple[CertificateFate, ...] = ()  # of ours on LXD servers, which no other host uses
    image_copies: tuple[str, ...] = ()  # that are deleted; by force all stay
    images: tuple[str, ...] = ()  # of the host itself: their entries in the catalogue are deleted

    @property
    def effects(self) -> tuple[str, ...]:
        """Sentences on what else changes on the host."""
        copies, images = ", ".join(self.image_copies), ", ".join(self.images)
        return (
            *([f"Copies of images that Innkeeper made are deleted: {copies}."] if copies else []),
            *([f"Images of the host itself leave the catalogue, and stay there: {images}."] if images else []),
        )


def removal_plan(
    host_name: str,
    removal: HostRemoval,
    machines: Iterable[MachineView],
    foreign: Iterable[GuestView],
    guest_names: Mapping[int, str],
    image_copies: Iterable[str] = (),
    images: Iterable[str] = (),
) -> HostRemovalPlan:
    """`machines` are all machines of the host, `guest_names` of their VMs by machine id, `foreign` its other guests.

    `image_copies` describes the copies of images that no other host has a use for, `images` are the names of its own
    images that no other host has.
    """
    deleted: list[AffectedGuest] = []
    kept: list[AffectedGuest] = []
    lost: list[AffectedGuest] = []
    for machine in machines:
        fate = lost if removal.force else deleted if removal.deletes(adopted=machine.adopted) else kept
        fate.append(affected_machine(host_name, machine, guest_names.get(machine.id, "")))
    kept += [
        AffectedGuest(
            name=guest.name,
            host_name=host_name,
            system_id=None,
            adopted=False,
            locked=False,
            power_state=guest.power_state,
            disks=(),
            guest_name=guest.name,
        )
        for guest in foreign
    ]
    return HostRemovalPlan(
        name=host_name,
        deleted=tuple(deleted),
        kept=tuple(kept),
        lost=tuple(lost),
        image_copies=() if removal.force else tuple(image_copies),
        images=tuple(images),
    )


def combined(name: str, plans: Iterable[HostRemovalPlan]) -> HostRemovalPlan:
    """The plan of a cluster from those of its members."""
    found = tuple(plans)
    return HostRemovalPlan(
        name=name,
        deleted=tuple(guest for plan in found for guest in plan.deleted),
        kept=tuple(guest for plan in found for guest in plan.kept),
        lost=tuple(guest for plan in found for guest in plan.lost),
        image_copies=tuple(copy for plan in found for copy in plan.image_copies),
        images=tuple(image for plan in found for image in plan.images),
    )


def affected_machine(host_name: str, machine: MachineView, guest_name: str = "") -> AffectedGuest:
    """`guest_name` is the name of its VM on the host, which differs from the hostname after a change of that."""
    return AffectedGuest(
        name=machine.hostname,
        host_name=host_name,
        system_id=machine.system_id,
        adopted=machine.adopted,
        locked=machine.locked,
        power_state=machine.power_state,
        disks=machine.disks,
        guest_name=guest_name,
        addresses=tuple(str(nic.ip_address) for nic in machine.nics if nic.ip_address is not None),
    )

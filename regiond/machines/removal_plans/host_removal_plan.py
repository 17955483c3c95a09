"""The plan of a host's removal: the records and guests that it deletes and keeps. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, frozen

from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts
from common.words.phrases import first_of
from regiond.hosts.model import GuestView
from regiond.hosts.removal_model import CertificateFate, HostRemoval
from regiond.machines.remains.disk_fates import RemainingDisks
from regiond.machines.values.disks import DiskView, KeptDisk
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState

MAX_NAMED = 10  # devices that a sentence names
NO_DEVICES: Mapping[int, Sequence[str]] = {}


@frozen(kw_only=True)
class AffectedGuest:
    """A guest that is deleted with its `disks`, or that stays.

    `system_id` is None if it is not a machine; its disks are then unknown.
    """

    name: str
    host_name: str
    system_id: str | None
    adopted: bool
    locked: bool
    power_state: str
    disks: tuple[DiskView, ...]
    guest_name: str = ""  # on the host; empty if unknown
    addresses: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()  # on the machine, by hostname
    foreign_disks: tuple[str, ...] = ()  # that stay on the host, as they are
    kept_disks: tuple[str, ...] = ()  # that stay on the host, and are listed as kept disks if the guest goes
    shared_disks: tuple[str, ...] = ()  # that stay on the host, because another guest or image needs them
    all_disks: tuple[DiskView, ...] = ()
    removal: RemovalFacts = NO_REMOVAL_FACTS

    @property
    def as_it_stays(self) -> AffectedGuest:
        """The guest as one that is not deleted: with all its disks."""
        return evolve(self, disks=self.all_disks)

    @property
    def description(self) -> str:
        """The name and kind of the guest, and its volumes."""
        kind = "foreign VM" if self.system_id is None else "adopted" if self.adopted else "machine"
        volumes = ", ".join(f"{disk.storage_pool_name}/{disk.volume}" for disk in self.disks)
        return f"{self.name} ({kind}{': ' if volumes else ''}{volumes})"


@frozen(kw_only=True)
class HostRemovalPlan:
    """The plan. `name` names the host or cluster. The guests in `deleted` and their disks are destroyed; `kept` stay.

    The records of the machines in `lost` are deleted; their guests on the dead host are not changed.
    """

    name: str
    deleted: tuple[AffectedGuest, ...]
    kept: tuple[AffectedGuest, ...]
    lost: tuple[AffectedGuest, ...] = ()
    certificates: tuple[CertificateFate, ...] = ()  # our certificates on LXD servers that no other host uses
    image_copies: tuple[str, ...] = ()  # deleted copies; by force all copies stay
    images: tuple[str, ...] = ()  # stored on the host only: their entries in the catalogue are deleted
    missing: tuple[str, ...] = ()  # names of machines without a guest on the host, whose records stay
    kept_disks: tuple[str, ...] = ()  # volumes that stay on the host, until it is added again

    @property
    def effects(self) -> tuple[str, ...]:
        """The other changes on the host, as sentences."""
        copies, images = ", ".join(self.image_copies), ", ".join(self.images)
        return (
            *([f"Copies of images that Innkeeper made are deleted: {copies}."] if copies else []),
            *([f"Images of the host itself leave the catalogue, and stay there: {images}."] if images else []),
            *([f"Missing on the host; their records stay: {', '.join(self.missing)}."] if self.missing else []),
            *(
                [
                    f"Kept disks stay on the host as volumes ({len(self.kept_disks)}), and return when it is added "
                    f"again: {first_of(self.kept_disks, MAX_NAMED)}."
                ]
                if self.kept_disks
                else []
            ),
            *removal_texts(self.deleted),
            *texts_on_disks_that_stay(self.deleted),
            *devices_text((*self.deleted, *self.lost), "deleted with their machines"),
            *devices_text(self.kept, "that return with their machines when the host is added again"),
        )


def devices_text(guests: Iterable[AffectedGuest], fate: str) -> tuple[str, ...]:
    """Returns a sentence such as `Devices deleted (2): lxd-0, lxd-1.`; none if the guests have no devices."""
    names = [name for guest in guests for name in guest.devices]
    return (f"Devices {fate} ({len(names)}): {first_of(names, MAX_NAMED)}.",) if names else ()


def removal_texts(guests: Iterable[AffectedGuest]) -> tuple[str, ...]:
    """Returns a sentence for each kind of thing that goes along with `guests`, all of which are deleted, or that stays
    although it was theirs.
    """
    found = tuple(guests)
    snapshots = [f"{guest.name}/{name}" for guest in found for name in guest.removal.snapshots]
    saved = [guest.name for guest in found if guest.removal.saved_memory]
    shared = [volume for guest in found for volume in guest.shared_disks]
    layers = [path for guest in found for path in guest.removal.layers]
    texts = {
        "Snapshots that are deleted with their VM": snapshots,
        "Saved memory that is deleted with its VM": saved,
        "Disks that stay, because another VM or image needs them": shared,
        "Images on the host that stay, as external snapshots leave them": layers,
    }
    return tuple(f"{what} ({len(names)}): {first_of(names, MAX_NAMED)}." for what, names in texts.items() if names)


def emptying_texts(found: Iterable[tuple[str, RemovalFacts]]) -> tuple[str, ...]:
    """Returns what ends with the content of root disks, of machines by name."""
    known = tuple(found)
    texts = {
        "Snapshots that are deleted with the content of the root disk": [
            f"{name}/{snapshot}"
            for name, facts in known
            for snapshot in (facts.snapshots if facts.snapshots_end_with_root_disk else ())
        ],
        "Saved memory that ends with the content of the root disk": [
            name for name, facts in known if facts.saved_memory
        ],
    }
    return tuple(f"{what} ({len(names)}): {first_of(names, MAX_NAMED)}." for what, names in texts.items() if names)


def removal_plan(
    host_name: str,
    removal: HostRemoval,
    machines: Iterable[MachineView],
    foreign: Iterable[GuestView],
    guest_names: Mapping[int, str],
    remaining: Mapping[int, RemainingDisks],
    image_copies: Iterable[str] = (),
    images: Iterable[str] = (),
    devices: Mapping[int, Sequence[str]] = NO_DEVICES,
    kept_disks: Iterable[KeptDisk] = (),
) -> HostRemovalPlan:
    """Returns the plan of the removal of a host.

    `machines` are all machines of the host, `foreign` its other guests. By machine id, `guest_names` has the names of
    the machines' VMs, `remaining` their disks, `devices` the names of their devices. `image_copies` describes the
    copies of images that no other host can use, `images` are the names of images that are stored on this host only.
    """
    deleted: list[AffectedGuest] = []
    kept: list[AffectedGuest] = []
    lost: list[AffectedGuest] = []
    missing: list[str] = []
    for machine in machines:
        fate = lost if removal.force else deleted if removal.deletes(adopted=machine.adopted) else kept
        if fate is kept and machine.state is MachineState.MISSING:
            missing.append(machine.hostname)
            continue
        name, of_machine = guest_names.get(machine.id, ""), devices.get(machine.id, ())
        guest = affected_machine(host_name, machine, remaining[machine.id], name, of_machine)
        fate.append(guest if fate is deleted else guest.as_it_stays)
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
        missing=tuple(missing),
        kept_disks=tuple(f"{one.title} ({one.storage_pool_name}/{one.volume})" for one in kept_disks),
    )


def combined(name: str, plans: Iterable[HostRemovalPlan]) -> HostRemovalPlan:
    """Returns the plan of a cluster, from the plans of its members."""
    found = tuple(plans)
    return HostRemovalPlan(
        name=name,
        deleted=tuple(guest for plan in found for guest in plan.deleted),
        kept=tuple(guest for plan in found for guest in plan.kept),
        lost=tuple(guest for plan in found for guest in plan.lost),
        image_copies=tuple(copy for plan in found for copy in plan.image_copies),
        images=tuple(image for plan in found for image in plan.images),
        missing=tuple(name for plan in found for name in plan.missing),
        kept_disks=tuple(disk for plan in found for disk in plan.kept_disks),
    )


def affected_machine(
    host_name: str, machine: MachineView, remaining: RemainingDisks, guest_name: str = "", devices: Iterable[str] = ()
) -> AffectedGuest:
    """Returns the machine as an affected guest. `guest_name` names its VM on the host; a changed hostname differs."""
    return AffectedGuest(
        name=machine.hostname,
        host_name=host_name,
        system_id=machine.system_id,
        adopted=machine.adopted,
        locked=machine.locked,
        power_state=machine.power_state,
        disks=remaining.deleted,
        guest_name=guest_name,
        addresses=tuple(str(nic.ip_address) for nic in machine.nics if nic.ip_address is not None),
        devices=tuple(devices),
        foreign_disks=remaining.left_texts,
        kept_disks=remaining.kept_texts,
        shared_disks=remaining.shared_texts,
        all_disks=machine.disks,
        removal=remaining.facts,
    )


def texts_on_disks_that_stay(guests: Iterable[AffectedGuest]) -> tuple[str, ...]:
    """Returns sentences about the disks that stay when these guests are deleted."""
    left: defaultdict[str, list[str]] = defaultdict(list)
    kept: defaultdict[str, list[str]] = defaultdict(list)
    for guest in guests:
        left[guest.host_name] += guest.foreign_disks
        kept[guest.host_name] += guest.kept_disks
    return (
        *(
            f"Foreign disks stay on {host} as they are, and Innkeeper no longer shows them: "
            f"{first_of(names, MAX_NAMED)}."
            for host, names in left.items()
            if names
        ),
        *(
            f"Disks that Innkeeper did not create with their VM stay on {host} with their content, as kept disks: "
            f"{first_of(names, MAX_NAMED)}."
            for host, names in kept.items()
            if names
        ),
    )

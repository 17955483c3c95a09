"""Machines for other rooms: states, views, filters and requests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from common.guest_facts import NO_SETTINGS, GuestSettings
from common.guests.compose_request import ComposeRequest
from common.guests.sizes import GuestSize
from common.values import Autostart
from regiond.groups.model import ResourcePool, Zone
from regiond.machines.values.boot import (
    BootView,
)
from regiond.machines.values.disks import (
    DiskView,
)
from regiond.machines.values.nics import (
    NicView,
)
from regiond.machines.values.power import WantedPower
from regiond.machines.values.resize import SizeRefusal
from regiond.machines.values.screens import ScreenProtocol, protocol_on
from regiond.machines.values.states import MachineState
from regiond.placement.affinity import Policy
from regiond.placement.model import Placement
from regiond.requests.caller import Caller


def unproven_text(hostname: str) -> str:
    """Returns the message for a machine that may have been used since the database was restored."""
    return (
        f"The database was restored, and {hostname} may have been used since by somebody whom it does not know. The "
        "next refresh of its host shows that, or an administrator confirms whose it is: innkeeper region check"
    )


@frozen(kw_only=True)
class AffinityMembership:
    """A machine's membership in a group. `violated_by` names machines of the group that contradict its policy now."""

    group: str
    policy: Policy
    hard: bool
    violated_by: tuple[str, ...] = ()


@frozen(kw_only=True)
class MachineView:
    id: int
    uuid: UUID
    system_id: str
    hostname: str
    state: MachineState
    power_state: str
    architecture: str
    cores: int
    memory_mib: int
    tags: tuple[str, ...]
    pool: ResourcePool
    zone: Zone
    owner: str | None
    description: str
    host_id: int | None
    host_name: str | None
    host_system_id: str | None
    driver: str | None
    guest_id: int | None
    product: str = ""  # of its host: LXD or Incus; empty if the driver says it all
    disks: tuple[DiskView, ...] = ()
    nics: tuple[NicView, ...] = ()
    created_at: datetime
    adopted: bool = False  # its guest was not created by Innkeeper
    as_found: bool = False  # adopted, and not released since: deployed with what its guest had
    imported: bool = False  # came from MAAS, and was not released since
    agent_name: str = ""  # the name of the program that allocated it
    owner_data: Mapping[str, str] | None = field(factory=dict)  # None: not read
    workload_annotations: Mapping[str, str] | None = field(factory=dict)  # None: not read
    composed_by_allocate: bool = False  # its release destroys it
    error_description: str = ""  # why it was marked broken, or failed
    locked: bool = False  # it is not allocated, deployed, deleted, released or changed
    generation: int = 0  # how often it has become used since it was stock
    generation_on_host: int | None = None  # the generation of its guest at the last refresh; None: unknown
    unproven_since: datetime | None = None  # since a restore of the database, nobody knows who has used it; None: known
    is_stock: bool = False  # nobody has used it since it was composed as stock, or emptied by a release
    affinity_groups: tuple[AffinityMembership, ...] = ()
    guest_name: str | None = None  # the name on its host; None: the host does not list it
    autostart: Autostart | None = None  # its own setting; None: as its host, or for an adopted machine as its guest
    autostart_in_effect: Autostart | None = None  # None: an adopted machine's guest is not changed
    composed_by: str | None = None  # name of the account; None: unknown, or adopted
    osystem: str = ""  # of the deployment; empty if there is none
    distro_series: str = ""
    power_changed_at: datetime | None = None  # when Innkeeper saw its power state change last; None: not read
    wanted_power: WantedPower | None = None  # None: unknown
    host_away_since: datetime | None = None  # the power state is the last known one since then; None: it is reachable
    pending_cores: int | None = None  # from its next start on; None: as now
    pending_memory_mib: int | None = None
    size_refused: str = ""  # why the last start that tried the pending size was refused it; empty: none was
    size_refused_at: datetime | None = None  # the first such start
    max_cores: int | None = None  # that it can get while it runs; None: none asked at compose
    max_memory_mib: int | None = None
    at_limit: tuple[str, ...] = ()  # of `cpu`, `memory` and `disk`, if it has been at a limit for ten minutes
    settings: GuestSettings = NO_SETTINGS  # of its guest
    boot: BootView = field(factory=BootView)  # what it boots from at its next start
    failed_host_id: int | None = None  # the host on which the compose of the machine failed; `host_name` then names it

    maas_server: str | None = None  # the name of the MAAS server that it is registered in; None: in none
    maas_system_id: str | None = None  # its id there; None: not known yet
    is_vm_host: bool = False  # it is a VM host, not a machine, in the form in which clients read machines

    @property
    def pending_size(self) -> GuestSize | None:
        """The size that it has after its next start; None: it keeps the present one."""
        if self.pending_cores is None and self.pending_memory_mib is None:
            return None
        return GuestSize(cores=self.pending_cores or self.cores, memory_mib=self.pending_memory_mib or self.memory_mib)

    @property
    def size_refusal(self) -> SizeRefusal | None:
        """Why its host has refused the pending size, and since when; None if it has not, or nothing is pending."""
        if not self.size_refused or self.size_refused_at is None or self.pending_size is None:
            return None
        return SizeRefusal(reason=self.size_refused, since=self.size_refused_at)

    @property
    def is_stock_now(self) -> bool:
        """Whether operators of its pool may allocate it now."""
        is_free = self.owner is None and self.state is MachineState.READY and not self.locked
        return self.is_stock and is_free and self.unproven_since is None

    @property
    def screen_protocol(self) -> ScreenProtocol:
        return protocol_on(self.driver)

    @property
    def boot_disk(self) -> DiskView | None:
        """The disk that boots first at the next start; None without disks."""
        return next((disk for disk in self.disks if disk.boots), self.disks[0] if self.disks else None)

    @property
    def not_yours(self) -> str:
        """Says to somebody to whom the machine does not belong why it refuses them, and what helps."""
        if self.unproven_since is not None:
            return unproven_text(self.hostname)
        if self.owner is not None:
            return f"You do not own {self.hostname}."
        if self.is_stock:
            allocate = f" Allocate it first: innkeeper machines allocate system_id={self.system_id}"
            acts = f"{self.hostname} is stock: only whoever made it and administrators act on it."
            return acts + (allocate if self.is_stock_now else "")
        made_by = f"{self.composed_by}, who made it," if self.composed_by else "an administrator"
        return f"{self.hostname} is in use, and not yours. Ask {made_by} to act on it."

    def belongs_to(self, caller: Caller) -> bool:
        """Returns whether the caller owns the machine; without owner it belongs to the account that made it.

        While nobody knows who has used it since a restore of the database, it belongs to nobody.
        """
        whose = self.composed_by if self.owner is None else self.owner
        return self.unproven_since is None and whose == caller.username


@frozen(kw_only=True)
class GroupCounts:
    """Numbers of machines by the id of their resource pool and of their zone; ids without machines are left out."""

    pools: Mapping[int, int]
    zones: Mapping[int, int]


@frozen(kw_only=True)
class Labels:
    """The disk and NIC (row ids) that were found for each label, in the order of the request."""

    disks: tuple[tuple[str, int], ...] = ()
    nics: tuple[tuple[str, int], ...] = ()


@frozen(kw_only=True)
class Allocated:
    """An allocated machine and the devices of its labels."""

    machine: MachineView
    labels: Labels = field(factory=Labels)


@frozen(kw_only=True)
class MachineToCompose:
    """The machine that an allocate request would compose, and its host. The labels have no devices yet."""

    request: ComposeRequest
    placement: Placement
    disk_labels: tuple[str, ...]
    nic_labels: tuple[str, ...]


@frozen(kw_only=True)
class MachinePage:
    """A page of machines. `total` counts the machines of all pages, `offset` those before this one."""

    machines: tuple[MachineView, ...]
    total: int
    offset: int = 0

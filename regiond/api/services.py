"""The services that the API calls, as Protocols; wiring passes the real ones, tests pass doubles.

Reads take the caller as `caller` and return what it may see; what it may not see raises NotFound.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from common.capacity import Capacity
from common.values import Project
from regiond.api.account_services import (
    Accounts,
    Audit,
    Files,
    Grants,
    IdempotencyKeys,
    Logins,
    Quotas,
    Sessions,
    SshKeys,
    Users,
)
from regiond.api.image_services import HostImages, ImageImports, Images, ImageUploads
from regiond.api.machine_services import (
    Adoption,
    Allocation,
    Bulk,
    Consoles,
    Deployments,
    Devices,
    MachineDisks,
    MachineNics,
    Machines,
    Ownership,
    Releases,
)
from regiond.api.network_services import Dns, Networks
from regiond.caller import Caller
from regiond.clusters.model import ClusterChange, ClusterView
from regiond.deletion_plan import DeletionPlan
from regiond.events.model import Event, EventBatch, EventFilter
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.model import (
    CertificateFate,
    ExpiringCertificate,
    GuestCount,
    GuestFilter,
    GuestView,
    HostChange,
    HostRemoval,
    HostView,
    NewHost,
    NumaNodeView,
)
from regiond.idempotency.model import IdempotencyKey
from regiond.ledger.model import FleetCapacity, HostLimits
from regiond.long_list import LongList
from regiond.operations.model import Child, LogLine, Operation
from regiond.racks.model import RackView, RegionView, RpcClientView
from regiond.reconciler.model import DiscrepancyKind, OpenDiscrepancy
from regiond.tags.model import Tag, TagChange, TaggedNodes


class Hosts(Protocol):
    async def count(self, *, caller: Caller | None) -> int: ...
    async def long_list(self, *, caller: Caller | None) -> LongList[HostView]: ...
    async def expiring_certificates(
        self, before: datetime, *, limit: int, caller: Caller | None
    ) -> tuple[ExpiringCertificate, ...]: ...
    async def read(self, host_id: int, *, caller: Caller | None) -> HostView: ...
    async def guest_counts(self, host_ids: Iterable[int]) -> Mapping[int, GuestCount]: ...
    async def capacity(self, *, caller: Caller | None) -> FleetCapacity: ...
    async def capacities(self, host_ids: Iterable[int]) -> Mapping[int, Capacity]: ...
    async def capacity_with(self, host_id: int, limits: HostLimits, *, caller: Caller | None) -> Capacity | None: ...
    async def ids_of(self, ids_or_names: Iterable[str], *, caller: Caller | None) -> Mapping[str, frozenset[int]]: ...
    async def names(self, *, caller: Caller | None) -> tuple[str, ...]: ...
    async def names_of(self, host_ids: Iterable[int], *, caller: Caller | None) -> Mapping[int, str]: ...
    async def of_system_ids(self, system_ids: Iterable[str], *, caller: Caller | None) -> tuple[HostView, ...]: ...
    async def create(self, caller: Caller, new: NewHost, *, wait_s: float) -> HostView: ...
    async def update(self, caller: Caller, host_id: int, change: HostChange, *, wait_s: float) -> HostView: ...
    async def begin_maintenance(self, caller: Caller, host_ids: Iterable[int], reason: str | None) -> None: ...
    async def end_maintenance(self, caller: Caller, host_ids: Iterable[int]) -> None: ...
    async def start_refresh(
        self, caller: Caller, host_id: int, *, idempotency_key: IdempotencyKey | None = None
    ) -> Operation: ...
    async def start_remove(
        self, caller: Caller, host_id: int, removal: HostRemoval, *, idempotency_key: IdempotencyKey | None = None
    ) -> Operation: ...
    async def check_removal(self, caller: Caller, host_id: int, removal: HostRemoval) -> HostView: ...
    async def removal_certificates(
        self, caller: Caller, host_ids: Sequence[int], removal: HostRemoval
    ) -> tuple[CertificateFate, ...]: ...
    async def start_rotate(
        self,
        caller: Caller,
        host_id: int,
        *,
        password: str | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation: ...
    async def projects(self, caller: Caller, host_id: int) -> tuple[Project, ...]: ...
    async def numa(self, host_id: int) -> tuple[NumaNodeView, ...]: ...
    async def parameters(self, caller: Caller, host_id: int) -> dict[str, str]: ...
    async def add_tag(self, caller: Caller, host_id: int, tag: str) -> HostView: ...
    async def remove_tag(self, caller: Caller, host_id: int, tag: str) -> HostView: ...
    async def trust(self, caller: Caller, host_id: int, fingerprint: str) -> HostView: ...
    async def confirm_server(
        self, caller: Caller, host_id: int, *, identity: str | None = None, same_as: str | None = None
    ) -> HostView: ...
    async def certificate(self, name: str) -> str: ...
    async def long_list_of_guests(self, wanted: GuestFilter, *, caller: Caller | None) -> LongList[GuestView]: ...
    async def guest(self, guest_id: int, *, caller: Caller | None) -> GuestView: ...


class Operations(Protocol):
    async def list(
        self,
        *,
        states: tuple[str, ...] = (),
        host_id: int | None = None,
        system_id: str | None = None,
        limit: int = 100,
        before_id: int | None = None,
        after_id: int | None = None,
        oldest_first: bool = False,
        parent_id: int | None = None,
        username: str | None = None,
        text: str = "",
        caller: Caller | None,
    ) -> tuple[Operation, ...]: ...
    async def count(
        self,
        *,
        states: tuple[str, ...] = (),
        host_id: int | None = None,
        system_id: str | None = None,
        parent_id: int | None = None,
        text: str = "",
        limit: int,
        caller: Caller | None,
    ) -> int: ...
    async def count_open(self, *, limit: int, caller: Caller | None) -> int: ...
    async def latest(self, system_ids: Sequence[str], *, caller: Caller | None) -> Mapping[str, Operation]: ...
    async def read(self, operation_id: int, *, caller: Caller | None) -> Operation: ...
    async def children(self, operation_id: int) -> Sequence[Child]: ...
    async def wait_reason(self, operation: Operation) -> str | None: ...
    async def log(self, operation_id: int) -> tuple[LogLine, ...]: ...
    async def wait(self, operation_id: int, *, timeout_s: float) -> Operation: ...
    async def cancel(self, caller: Caller, operation_id: int) -> Operation: ...
    async def cancel_plan(self, caller: Caller, operation_id: int) -> DeletionPlan: ...


class Groups(Protocol):
    async def zones(self) -> tuple[Zone, ...]: ...
    async def zone(self, name: str) -> Zone: ...
    async def create_zone(self, caller: Caller, name: str, description: str) -> Zone: ...
    async def update_zone(
        self, caller: Caller, name: str, *, new_name: str | None = None, description: str | None = None
    ) -> Zone: ...
    async def delete_zone(
        self, caller: Caller, name: str, *, move_to: str | None = None, dry_run: bool = False
    ) -> DeletionPlan: ...
    async def pools(self, *, caller: Caller | None) -> tuple[ResourcePool, ...]: ...
    async def pool(self, id_or_name: str, *, caller: Caller | None) -> ResourcePool: ...
    async def create_pool(self, caller: Caller, name: str, description: str, strategy: str) -> ResourcePool: ...
    async def update_pool(
        self,
        caller: Caller,
        id_or_name: str,
        *,
        new_name: str | None = None,
        description: str | None = None,
        strategy: str | None = None,
    ) -> ResourcePool: ...
    async def delete_pool(self, caller: Caller, id_or_name: str, *, dry_run: bool = False) -> DeletionPlan: ...


class Tags(Protocol):
    async def list(self, *, caller: Caller | None) -> tuple[Tag, ...]: ...
    async def read(self, name: str, *, caller: Caller | None) -> Tag: ...
    async def problems(self, names: Sequence[str], *, caller: Caller | None) -> Sequence[str]: ...
    async def create(self, caller: Caller, tag: Tag) -> Tag: ...
    async def update(self, caller: Caller, name: str, change: TagChange) -> Tag: ...
    async def delete(self, caller: Caller, name: str, *, dry_run: bool = False) -> DeletionPlan: ...
    async def update_nodes(
        self, caller: Caller, name: str, add: Sequence[str], remove: Sequence[str]
    ) -> TaggedNodes: ...


class Racks(Protocol):
    async def list(self, *, caller: Caller | None) -> tuple[RackView, ...]: ...
    async def regions(self, caller: Caller) -> tuple[RegionView, ...]: ...
    async def read(self, rack_id: str, *, caller: Caller | None) -> RackView: ...
    async def remove(self, caller: Caller, rack_id: str, *, dry_run: bool = False) -> DeletionPlan: ...
    async def update(self, caller: Caller, rack_id: str, *, zones: Sequence[str] | None) -> RackView: ...
    async def report_stolen(self, caller: Caller, rack_id: str) -> RackView: ...
    async def create_token(
        self, caller: Caller | None, *, lifetime_s: float, zones: Sequence[str] | None = None
    ) -> str: ...


class RpcClients(Protocol):
    async def list(self, caller: Caller) -> tuple[RpcClientView, ...]: ...
    async def issue(self, caller: Caller, name: str) -> tuple[str, str, str]: ...
    async def revoke(self, caller: Caller, name: str, *, dry_run: bool = False) -> DeletionPlan: ...


class Events(Protocol):
    async def list(self, wanted: EventFilter, *, caller: Caller | None) -> tuple[Event, ...]: ...


class EventStreams(Protocol):
    async def open(
        self, caller: Caller, wanted: EventFilter, *, after_id: int | None, duration_s: float
    ) -> tuple[EventBatch, AsyncGenerator[EventBatch, None]]: ...


class Clusters(Protocol):
    async def count(self, *, caller: Caller | None) -> int: ...
    async def list(self, *, caller: Caller | None) -> tuple[ClusterView, ...]: ...
    async def read(self, cluster_id: int, *, caller: Caller | None) -> ClusterView: ...
    async def update(self, caller: Caller, cluster_id: int, change: ClusterChange) -> ClusterView: ...
    async def start_remove(self, caller: Caller, cluster_id: int, removal: HostRemoval) -> tuple[Operation, ...]: ...


class Reconciler(Protocol):
    async def check(
        self, *, host_id: int | None = None, kind: DiscrepancyKind | None = None, system_id: str | None = None
    ) -> tuple[OpenDiscrepancy, ...]: ...
    async def recent_repairs(self) -> tuple[OpenDiscrepancy, ...]: ...
    async def read_stored(self, discrepancy_id: int) -> OpenDiscrepancy: ...
    async def read(self, discrepancy_id: int) -> OpenDiscrepancy: ...
    async def approval_plan(
        self, caller: Caller, discrepancy_id: int, *, etag: str, shown: str = ""
    ) -> DeletionPlan: ...
    async def approve(self, caller: Caller, discrepancy_id: int, *, etag: str, shown: str = "") -> OpenDiscrepancy: ...


@frozen(kw_only=True)
class Services:
    """`caller` is whose request it is, whom the reads show only what it may see; None: one without a login."""

    caller: Caller | None = None
    hosts: Hosts
    clusters: Clusters
    machines: Machines
    allocation: Allocation
    ownership: Ownership
    releases: Releases
    machine_nics: MachineNics
    machine_disks: MachineDisks
    devices: Devices
    bulk: Bulk
    deployments: Deployments
    consoles: Consoles
    adoption: Adoption
    operations: Operations
    accounts: Accounts
    idempotency_keys: IdempotencyKeys
    logins: Logins
    sessions: Sessions
    users: Users
    ssh_keys: SshKeys
    files: Files
    groups: Groups
    tags: Tags
    audit: Audit
    events: Events
    event_streams: EventStreams
    racks: Racks
    rpc_clients: RpcClients
    networks: Networks
    dns: Dns
    reconciler: Reconciler
    grants: Grants
    quotas: Quotas
    images: Images
    image_uploads: ImageUploads
    image_imports: ImageImports
    host_images: HostImages

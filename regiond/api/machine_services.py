"""The services of machines: compose, power, allocation, ownership and adoption, as Protocols."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from common.compose_request import ComposeRequest
from common.values import PowerAction, PowerState
from common.vm_host_report import VmHostReport
from regiond.api.replies import Terminal
from regiond.caller import Caller
from regiond.deletion_plan import DeletionPlan
from regiond.hosts.model import HostRemoval
from regiond.idempotency.model import IdempotencyKey
from regiond.long_list import LongList
from regiond.machines.model import (
    DEFAULT_RELEASE,
    NO_HOST_CONSTRAINTS,
    Adopted,
    AdoptRequest,
    Allocated,
    AllocateRequest,
    BulkAction,
    DeployRequest,
    DetachedMachine,
    DeviceFilter,
    DeviceNicChange,
    DeviceNicView,
    DeviceView,
    ForgottenMachine,
    GroupCounts,
    HostConstraints,
    LinkRequest,
    MachineChange,
    MachineFilter,
    MachinePage,
    MachineSearch,
    MachineToCompose,
    MachineView,
    NewDevice,
    ReleaseOptions,
)
from regiond.machines.service import HostRemovalPlan, HostWorkload, MachineRemovalPlan
from regiond.operations.model import Operation
from regiond.placement.model import Placement, Strategy


class Machines(Protocol):
    async def list(self, wanted: MachineFilter, *, caller: Caller | None) -> tuple[MachineView, ...]: ...
    async def system_ids(self, wanted: MachineFilter, *, caller: Caller | None) -> Sequence[str]: ...
    async def long_list(self, wanted: MachineFilter, *, caller: Caller | None) -> LongList[MachineView]: ...
    async def count(self, *, caller: Caller | None) -> int: ...
    async def count_by_group(self, *, caller: Caller | None) -> GroupCounts: ...
    async def ordered_ids(self, wanted: MachineSearch, *, caller: Caller | None) -> Sequence[int]: ...
    async def page(self, wanted: MachineSearch, *, caller: Caller | None) -> MachinePage: ...
    async def read(self, system_id: str, *, caller: Caller | None) -> MachineView: ...
    async def released(self, system_id: str, *, caller: Caller | None) -> MachineView: ...
    async def start_compose(
        self,
        caller: Caller,
        request: ComposeRequest,
        hosts: HostConstraints = NO_HOST_CONSTRAINTS,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation: ...
    async def power_parameters(
        self, caller: Caller, system_ids: Sequence[str] = ()
    ) -> Mapping[str, Mapping[str, str]]: ...
    async def announce(self, operation: Operation) -> bool: ...
    async def compose_problems(
        self, caller: Caller, request: ComposeRequest, host_constraints: HostConstraints = NO_HOST_CONSTRAINTS
    ) -> Mapping[str, Sequence[str]]: ...
    async def dry_run(
        self,
        caller: Caller,
        request: ComposeRequest,
        host_constraints: HostConstraints,
        *,
        strategy: Strategy | None = None,
    ) -> Placement: ...
    async def start_power(
        self,
        caller: Caller,
        system_id: str,
        action: PowerAction,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation: ...
    async def start_delete(
        self,
        caller: Caller,
        system_id: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation: ...
    async def deletion_plan(self, caller: Caller, system_id: str, *, need_rack: bool = False) -> MachineRemovalPlan: ...
    async def removal_plan(
        self, caller: Caller, name: str, host_ids: Sequence[int], removal: HostRemoval
    ) -> HostRemovalPlan: ...
    async def workloads(self, host_ids: Sequence[int], *, caller: Caller | None) -> tuple[HostWorkload, ...]: ...
    async def query_power(self, caller: Caller, system_id: str) -> PowerState: ...


class Allocation(Protocol):
    async def start(
        self, caller: Caller, request: AllocateRequest, *, idempotency_key: IdempotencyKey | None = None
    ) -> Operation: ...
    async def allocated(self, operation: Operation, request: AllocateRequest) -> Allocated: ...
    async def dry_run(self, caller: Caller, request: AllocateRequest) -> Allocated | MachineToCompose: ...
    async def with_devices(self, ids: Sequence[int], *, storage: str, interfaces: str) -> Sequence[int]: ...


class Releases(Protocol):
    async def start(
        self,
        caller: Caller,
        system_id: str,
        *,
        comment: str = "",
        options: ReleaseOptions = DEFAULT_RELEASE,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation | None: ...
    async def plan(
        self, caller: Caller, system_id: str, *, options: ReleaseOptions = DEFAULT_RELEASE, need_rack: bool = False
    ) -> MachineRemovalPlan: ...
    async def plan_all(
        self, caller: Caller, system_ids: Sequence[str], *, options: ReleaseOptions = DEFAULT_RELEASE
    ) -> MachineRemovalPlan: ...
    async def start_all(
        self, caller: Caller, system_ids: Sequence[str], *, comment: str = "", options: ReleaseOptions = DEFAULT_RELEASE
    ) -> tuple[str, ...]: ...


class Ownership(Protocol):
    async def set_owner_data(self, caller: Caller, system_id: str, data: Mapping[str, str]) -> MachineView: ...
    async def set_workload_annotations(
        self, caller: Caller, system_id: str, annotations: Mapping[str, str]
    ) -> MachineView: ...
    async def start_commission(
        self, caller: Caller, system_id: str, *, comment: str = "", idempotency_key: IdempotencyKey | None = None
    ) -> Operation: ...
    async def mark_broken(self, caller: Caller, system_id: str, why: str) -> MachineView: ...
    async def mark_fixed(self, caller: Caller, system_id: str, why: str = "") -> MachineView: ...
    async def set_locked(self, caller: Caller, system_id: str, *, locked: bool, comment: str = "") -> MachineView: ...
    async def update(self, caller: Caller, system_id: str, change: MachineChange) -> MachineView: ...
    async def set_zone(
        self, caller: Caller, system_ids: Sequence[str], zone: str, devices: Sequence[str] = ()
    ) -> None: ...


class MachineNics(Protocol):
    async def link(self, caller: Caller, system_id: str, nic_id: int, request: LinkRequest) -> MachineView: ...
    async def unlink(self, caller: Caller, system_id: str, nic_id: int, link_id: int | None) -> MachineView: ...
    async def set_default_gateway(
        self, caller: Caller, system_id: str, nic_id: int, link_id: int | None = None
    ) -> MachineView: ...
    async def clear_default_gateways(self, caller: Caller, system_id: str) -> MachineView: ...
    async def update(
        self,
        caller: Caller,
        system_id: str,
        nic_id: int,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> MachineView: ...
    async def set_tag(self, caller: Caller, system_id: str, nic_id: int, tag: str, *, present: bool) -> MachineView: ...


class MachineDisks(Protocol):
    async def set_tag(
        self, caller: Caller, system_id: str, disk_id: int, tag: str, *, present: bool
    ) -> MachineView: ...


class Devices(Protocol):
    async def is_registered(self, mac_address: str) -> bool: ...
    async def set_owner_data(self, caller: Caller, system_id: str, data: Mapping[str, str]) -> DeviceView: ...
    async def list(self, wanted: DeviceFilter, *, caller: Caller | None) -> tuple[DeviceView, ...]: ...
    async def long_list(self, wanted: DeviceFilter, *, caller: Caller | None) -> LongList[DeviceView]: ...
    async def read(self, system_id: str, *, caller: Caller | None) -> DeviceView: ...
    async def create(self, caller: Caller, new: NewDevice) -> DeviceView: ...
    async def update(
        self,
        caller: Caller,
        system_id: str,
        *,
        hostname: str | None = None,
        description: str | None = None,
        zone: str | None = None,
    ) -> DeviceView: ...
    async def delete(self, caller: Caller, system_id: str, *, dry_run: bool = False) -> DeletionPlan: ...
    async def add_nic(self, caller: Caller, system_id: str, change: DeviceNicChange) -> DeviceNicView: ...
    async def update_nic(
        self, caller: Caller, system_id: str, nic_id: int, change: DeviceNicChange
    ) -> DeviceNicView: ...
    async def delete_nic(
        self, caller: Caller, system_id: str, nic_id: int, *, dry_run: bool = False
    ) -> DeletionPlan: ...
    async def link(self, caller: Caller, system_id: str, nic_id: int, request: LinkRequest) -> DeviceNicView: ...
    async def unlink(self, caller: Caller, system_id: str, nic_id: int, link_id: int | None) -> DeviceNicView: ...


class Bulk(Protocol):
    async def start(
        self,
        caller: Caller,
        action: BulkAction,
        system_ids: Sequence[str],
        *,
        at_once: int = ...,
        comment: str = "",
        release: ReleaseOptions = DEFAULT_RELEASE,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation: ...
    async def plan(
        self,
        caller: Caller,
        action: BulkAction,
        system_ids: Sequence[str],
        *,
        release: ReleaseOptions = DEFAULT_RELEASE,
    ) -> MachineRemovalPlan: ...


class Deployments(Protocol):
    async def start(
        self, caller: Caller, system_id: str, request: DeployRequest, *, idempotency_key: IdempotencyKey | None = None
    ) -> Operation: ...
    async def abort(self, caller: Caller, system_id: str, *, comment: str = "") -> MachineView: ...
    async def abort_plan(self, caller: Caller, system_id: str) -> MachineRemovalPlan: ...
    async def report(self, deployment_id: int, secret: str, vm_host: VmHostReport | None = None) -> None: ...
    async def user_data(self, deployment_id: int, secret: str) -> AsyncGenerator[bytes, None]: ...


class Consoles(Protocol):
    async def connect(
        self, caller: Caller, system_id: str, terminal: Terminal, *, still_open: Callable[[], Awaitable[bool]]
    ) -> str: ...
    async def log(self, caller: Caller, system_id: str) -> str: ...
    async def of_failure(self, caller: Caller, system_id: str, *, operation_id: int | None = ...) -> str: ...


class Adoption(Protocol):
    async def start_adopt(
        self, caller: Caller, host_id: int, request: AdoptRequest, *, need_rack: bool = False
    ) -> tuple[Adopted, ...]: ...
    async def start_forget(
        self,
        caller: Caller,
        system_id: str,
        *,
        need_rack: bool = False,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Operation: ...
    async def forget_plan(self, caller: Caller, system_id: str, *, need_rack: bool = False) -> MachineRemovalPlan: ...
    async def detached(self, *, caller: Caller | None) -> tuple[DetachedMachine, ...]: ...
    async def forgotten(self, *, caller: Caller | None) -> tuple[ForgottenMachine, ...]: ...

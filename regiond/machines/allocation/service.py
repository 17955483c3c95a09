"""Allocates the cheapest ready machine that matches, or composes one by the same constraints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest, NoneAvailable, NotAllowed, OutOfCapacity, RackUnreachable
from regiond.accounts.service import still_operators
from regiond.caller import Caller
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.machines import lifecycle_store, view_store
from regiond.machines.affinity_change import join_by_allocation, ready_by_preference
from regiond.machines.allocation.constraints import (
    NETWORK_FIELDS,
    compose_intent,
    compose_request,
    device_constraints,
    host_constraints,
    no_match,
)
from regiond.machines.allocation.matching import DeviceConstraints, labels_as_composed, match_labels
from regiond.machines.allocation.store import list_ready
from regiond.machines.compose.host_constraints import resolve_host_filter
from regiond.machines.compose.requirements import collecting
from regiond.machines.compose.service import Composer
from regiond.machines.model import (
    Allocated,
    AllocateRequest,
    Labels,
    MachineFilter,
    MachineToCompose,
    MachineView,
    keyed_fields,
)
from regiond.networks import service as network_service
from regiond.operations import service as operation_service
from regiond.operations.model import Operation, OperationKind, request_hash
from regiond.operations.service import Operations
from regiond.placement.model import ANY_HOST, Condition, HostFilter, NicRequirement
from regiond.placement.service import explain, referenced_networks
from regiond.quotas import service as quotas
from regiond.quotas.model import Charge

if TYPE_CHECKING:
    from regiond.db.pool import Db

_NO_RACK = (
    "No ready machine matches, and none can be composed: no rack is connected to this region. Racks reconnect within "
    "seconds of a region's start; try again then."
)
READ_BATCH = 50  # machines whose disks and NICs one query reads


class Allocator:
    """Gives ready machines to callers, or composes machines for them."""

    def __init__(
        self, database: Database, operations: Operations, hosts: Hosts, groups: Groups, composer: Composer
    ) -> None:
        self._database = database
        self._operations = operations
        self._hosts = hosts
        self._groups = groups
        self._composer = composer

    async def start(self, caller: Caller, request: AllocateRequest, *, idempotency_key: str | None = None) -> Operation:
        """Returns an operation: a succeeded one if a machine was ready, otherwise the compose of a new machine.

        Raises InvalidRequest with all problems by field; NoneAvailable with what each host lacks, and RackUnreachable
        if no host could be considered; then nothing is claimed. IdempotencyMismatch. Idempotent with the same key.
        """
        devices, hosts = await self._validate(caller, request)
        keyed_request = {"kind": OperationKind.ALLOCATE.value, **keyed_fields(request)}

        async def open_() -> Operation | int:
            async for machine, labels in self._matching(request, devices, hosts):
                operation_id = await self._allocate(caller, request, machine, labels, idempotency_key, keyed_request)
                if operation_id is not None:
                    return operation_id
            _check_may_compose(request)
            return await self._compose(caller, request, idempotency_key, keyed_request)

        try:
            return await self._operations.idempotent(caller, idempotency_key, keyed_request, open_)
        except NoneAvailable as error:
            if "placement" in error.details:
                await self._composer.record_rejection(caller, keyed_request, error)
            raise

    async def allocated(self, operation: Operation, request: AllocateRequest) -> Allocated:
        """Returns the machine of a succeeded operation. Raises NotFound if it is deleted."""
        async with self._database.connection() as db:
            machine = await view_store.read(db, operation.system_id or "")
        if operation.kind is OperationKind.ALLOCATE:
            return Allocated(machine=machine, labels=_read_labels(operation.result))
        return Allocated(machine=machine, labels=labels_as_composed(machine, device_constraints(request)))

    async def dry_run(self, caller: Caller, request: AllocateRequest) -> Allocated | MachineToCompose:
        """Returns the machine that `start` would allocate or compose. Writes nothing. Raises as `start`."""
        devices, hosts = await self._validate(caller, request)
        async for machine, labels in self._matching(request, devices, hosts):
            return Allocated(machine=machine, labels=labels)
        _check_may_compose(request)
        intent = compose_intent(request)
        placement = await self._composer.dry_run(caller, intent.request, intent.hosts)
        if placement.chosen is None:
            raise none_available(request, OutOfCapacity("", placement=explain(placement)))
        return MachineToCompose(
            request=compose_request(request),
            placement=placement,
            disk_labels=tuple(disk.label for disk in devices.disks if disk.label),
            nic_labels=tuple(nic.label for nic in devices.nics),
        )

    async def _compose(
        self, caller: Caller, request: AllocateRequest, key: str | None, keyed_request: Mapping[str, Any]
    ) -> Operation:
        had_racks = self._composer.has_racks
        try:
            return await self._composer.reserve(
                caller, compose_intent(request), idempotency_key=key, keyed_request=keyed_request
            )
        except OutOfCapacity as error:
            if not (had_racks and self._composer.has_racks):  # a rack can connect or disconnect during placement
                raise RackUnreachable(_NO_RACK) from error
            raise none_available(request, error) from error

    async def _validate(self, caller: Caller, request: AllocateRequest) -> tuple[DeviceConstraints, HostFilter]:
        """Returns a filter that admits only the caller's resource pools.

        Raises InvalidRequest with all problems by field, NotFound or NotAllowed for a pool or host of others.
        """
        problems: dict[str, list[str]] = {}
        devices, hosts = DeviceConstraints(), ANY_HOST
        with collecting(problems):
            devices = device_constraints(request)
        async with self._database.connection() as db:
            for name, nics in _nics_by_field(request, devices).items():
                unknown = await network_service.unknown_references(db, referenced_networks(nics))
                if unknown:
                    problems[name] = list(dict.fromkeys(unknown))
        with collecting(problems):
            hosts = await resolve_host_filter(
                host_constraints(request), self._hosts, self._groups, caller=caller, host_field="pod"
            )
        if problems:
            raise InvalidRequest.of(problems)
        return devices, evolve(hosts, within_pool_ids=caller.operated_pools)

    async def _matching(
        self, request: AllocateRequest, devices: DeviceConstraints, hosts: HostFilter
    ) -> AsyncIterator[tuple[MachineView, Labels]]:
        """Yields ready machines that satisfy all constraints: by soft rules of groups, then the cheapest first."""
        async with self._database.connection() as db:
            found = await list_ready(db, request, hosts)
            ready = await ready_by_preference(db, request, found, within=hosts.within_pool_ids)
        system_ids = [one.system_id for one in ready]
        for start in range(0, len(system_ids), READ_BATCH):
            batch = system_ids[start : start + READ_BATCH]
            async with self._database.connection() as db:
                machines = await view_store.list_machines(db, MachineFilter(system_ids=tuple(batch)))
                host_ids = {one.host_id for one in machines if one.host_id is not None}
                interfaces = await network_service.available_interfaces(db, host_ids)
            by_id = {machine.system_id: machine for machine in machines}
            for machine in (by_id[system_id] for system_id in batch if system_id in by_id):
                labels = match_labels(machine, devices, interfaces.get(machine.host_id or 0, ()))
                if labels is not None:
                    yield machine, labels

    async def _allocate(
        self,
        caller: Caller,
        request: AllocateRequest,
        machine: MachineView,
        labels: Labels,
        key: str | None,
        keyed_request: Mapping[str, Any],
    ) -> int | None:
        """Returns the id of the succeeded operation; None if the machine or its host is no longer suitable."""
        async with self._database.transaction() as db:
            await _check_permitted(db, caller, machine)
            if not await join_by_allocation(db, request, machine):
                return None
            if not await lifecycle_store.allocate(db, machine.id, caller.account_id, request.agent_name):
                return None
            operation_id = await operation_service.insert_succeeded(
                db, OperationKind.ALLOCATE, host_id=machine.host_id, host_name=machine.host_name,
                machine_id=machine.id, system_id=machine.system_id, hostname=machine.hostname,
                account_id=caller.account_id, request={"requested": dict(keyed_request)},
                result=_write_labels(machine, labels),
            )  # fmt: skip
            if key is not None:
                await operation_service.store_key(db, caller.account_id, key, request_hash(keyed_request), operation_id)
            await _record_event(db, caller, machine, operation_id, request.comment)
        return operation_id


async def _check_permitted(db: Db, caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed if the caller's role has just been revoked, and QuotaExceeded. Locks no machine yet."""
    (is_operator,) = await still_operators(db, [(caller, machine.pool.id)])
    if not is_operator:
        raise NotAllowed(f"Your role in the resource pool {machine.pool.name!r} has just been revoked.")
    if machine.composed_by != caller.username:  # otherwise it counts for the caller already
        asked = await quotas.holdings_of(db, machine.id)
        await quotas.charge(db, Charge(account_id=caller.account_id, asked=asked))


def none_available(request: AllocateRequest, error: InnkeeperError) -> NoneAvailable:
    """Returns the error when nothing can be composed either, with the first thing that each host lacks."""
    placement: Mapping[str, Any] = error.details.get("placement") or {}
    reasons = [f"{one['host']}: {one['reasons'][0]}" for one in placement.get("rejected", ())]
    reasons += [f"{one['hosts']} more: {one['reason']}" for one in placement.get("summarized", ())]
    why = " | ".join(reasons) or error.message or "There is no VM host."
    details = {"placement": placement} if placement else {}
    return NoneAvailable(f"{no_match(request)} {why}", **details)


def _check_may_compose(request: AllocateRequest) -> None:
    """Raises NoneAvailable for a request that names a machine: only that one will do."""
    if request.system_id is not None or request.name is not None:
        raise NoneAvailable(no_match(request))


def _nics_by_field(request: AllocateRequest, devices: DeviceConstraints) -> Mapping[str, tuple[NicRequirement, ...]]:
    """Returns the networks that each field names, as NIC requirements; empty if `devices` could not be parsed."""
    result: dict[str, tuple[NicRequirement, ...]] = {"interfaces": devices.nics}
    for prefix, conditions in (("", devices.attached), ("not_", devices.detached)):
        for name, key in NETWORK_FIELDS:
            own = _with_key(conditions, key)
            result[f"{prefix}{name}"] = (NicRequirement(label=f"{prefix}{name}", conditions=own),)
    return result


def _with_key(conditions: Sequence[Condition], key: str) -> tuple[Condition, ...]:
    return tuple(condition for condition in conditions if condition.key == key)


async def _record_event(db: Db, caller: Caller, machine: MachineView, operation_id: int, comment: str) -> None:
    message = f"{machine.hostname} was allocated to {caller.username}"
    await Events.record(
        db, "machine_allocated", message, caller=caller, host_id=machine.host_id, system_id=machine.system_id,
        operation_id=operation_id, details={"comment": comment} if comment else None,
    )  # fmt: skip


def _write_labels(machine: MachineView, labels: Labels) -> Mapping[str, Any]:
    return {
        "system_id": machine.system_id,
        "hostname": machine.hostname,
        "disks": [list(pair) for pair in labels.disks],
        "nics": [list(pair) for pair in labels.nics],
    }


def _read_labels(result: Mapping[str, Any]) -> Labels:
    return Labels(
        disks=tuple((label, id_) for label, id_ in result["disks"]),
        nics=tuple((label, id_) for label, id_ in result["nics"]),
    )

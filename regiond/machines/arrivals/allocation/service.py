"""Allocates the cheapest ready machine that matches, or composes one by the same constraints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest, NoneAvailable, NotAllowed, OutOfCapacity, RackUnreachable
from common.words.operation_kinds import OperationKind
from regiond.accounts.grants import still_operators
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.machines.arrivals.allocation.constraints import (
    compose_intent,
    compose_request,
    device_constraints,
    host_constraints,
    no_match,
)
from regiond.machines.arrivals.allocation.device_search import checked_devices, matching
from regiond.machines.arrivals.allocation.known_words import unknown_architectures, unknown_words
from regiond.machines.arrivals.allocation.matching import DeviceConstraints, labels_as_composed
from regiond.machines.arrivals.allocation.store import list_ready
from regiond.machines.arrivals.compose.host_constraints import resolve_host_filter
from regiond.machines.arrivals.compose.requirements import collecting
from regiond.machines.arrivals.compose.service import Composer
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.affinity.service import join_by_allocation, ready_by_preference
from regiond.machines.core.ownership_rules import allocation_obstacle
from regiond.machines.values.model import Allocated, Labels, MachineToCompose, MachineView
from regiond.machines.values.requests import AllocateRequest, Requested, requested_fields
from regiond.machines.values.search import MachineFilter
from regiond.operations import intent_store
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, stored_request
from regiond.operations.service import Operations
from regiond.placement.model import explain
from regiond.placement.requirements import ANY_HOST, HostFilter
from regiond.quotas import service as quotas
from regiond.requests.caller import Caller

_NO_RACK = (
    "No ready machine matches, and none can be composed: no rack is connected to this region. Racks reconnect within "
    "seconds of a region's start; try again then."
)

# Up to 2.5 s in total: a transaction that locks a machine records something, in milliseconds.
_LOCK_TRIES, _LOCK_RETRY_S = 50, 0.05


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

    async def start(
        self, caller: Caller, request: AllocateRequest, *, idempotency_key: IdempotencyKey | None = None
    ) -> Operation:
        """Returns an operation: a succeeded one if a machine was ready, otherwise the compose of a new machine.

        Raises InvalidRequest with all problems by field; NoneAvailable with what each host lacks, and RackUnreachable
        if no host could be considered; then nothing is claimed. IdempotencyMismatch. Idempotent with the same key.
        """
        requested = _requested(request)

        async def open_() -> Operation | int:
            devices, hosts = await self._validate(caller, request)
            take = partial(self._allocate, caller, request, key=idempotency_key, requested=requested)
            taken = await self._take(caller, request, devices, hosts, take)
            if taken is not None:
                return taken
            await self._check_may_compose(caller, request)
            return await self._compose(caller, request, idempotency_key)

        try:
            return await self._operations.idempotent(idempotency_key, open_)
        except NoneAvailable as error:
            if "placement" in error.details:
                await self._composer.record_rejection(caller, requested, error)
            raise

    async def take(self, caller: Caller, system_id: str, agent_name: str) -> None:
        """Allocates a ready machine, as `start` does for a request that only names the machine and is always valid.

        Raises NoneAvailable, NotAllowed and QuotaExceeded.
        """
        request = AllocateRequest(system_id=system_id, agent_name=agent_name)
        hosts = evolve(ANY_HOST, within_pool_ids=caller.operated_pools)
        take = partial(self._allocate, caller, request, key=None, requested=_requested(request))
        if await self._take(caller, request, DeviceConstraints(), hosts, take) is None:
            raise NoneAvailable(no_match(request))

    async def check_take(self, db: Db, caller: Caller, machine: MachineView) -> None:
        """Raises what `take` would raise for the machine as it is now."""
        for reason in (await self.refusals(db, caller, [machine.system_id])).values():
            raise NoneAvailable(reason)
        await _check_permitted(db, caller, machine)

    async def refusals(self, db: Db, caller: Caller, system_ids: Sequence[str]) -> Mapping[str, str]:
        """Returns by system id the message of the NoneAvailable that `take` would raise, by one query."""
        hosts = evolve(ANY_HOST, within_pool_ids=caller.operated_pools)
        ready = {one.system_id for one in await list_ready(db, caller, AllocateRequest(), hosts, system_ids=system_ids)}
        return {one: no_match(AllocateRequest(system_id=one)) for one in system_ids if one not in ready}

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
        async for machine, labels in self._matching(caller, request, devices, hosts):
            return Allocated(machine=machine, labels=labels)
        await self._check_may_compose(caller, request)
        intent = compose_intent(request)
        placement = (await self._composer.dry_run(caller, intent.request, intent.hosts)).placement
        if placement.chosen is None:
            raise none_available(request, OutOfCapacity("", placement=explain(placement)))
        return MachineToCompose(
            request=compose_request(request),
            placement=placement,
            disk_labels=tuple(disk.label for disk in devices.disks if disk.label),
            nic_labels=tuple(nic.label for nic in devices.nics),
        )

    async def architecture_problems(self, names: Sequence[str]) -> Sequence[str]:
        """Returns a message for each of the names that is no architecture of a host or of images."""
        async with self._database.connection() as db:
            return await unknown_architectures(db, names)

    async def with_devices(self, ids: Sequence[int], *, storage: str, interfaces: str) -> list[int]:
        """Returns those of the machines with these row ids, in their order, that satisfy both constraint texts.

        Reads all of them, a batch at a time. Raises InvalidRequest by field.
        """
        problems: dict[str, list[str]] = {}
        request = AllocateRequest(storage=storage, interfaces=interfaces)
        devices = await checked_devices(self._database, request, problems)
        if interfaces and not devices.nics:
            problems.setdefault("interfaces", [f"Malformed constraint: '{interfaces}' names no NIC."])
        if problems:
            raise InvalidRequest.of(problems)
        return [machine.id async for machine, _ in matching(self._database, ids, devices, owner_data=False)]

    async def _compose(self, caller: Caller, request: AllocateRequest, key: IdempotencyKey | None) -> Operation:
        had_racks = self._composer.has_racks
        try:
            return await self._composer.reserve(caller, compose_intent(request), idempotency_key=key)
        except OutOfCapacity as error:
            if not (had_racks and self._composer.has_racks):  # a rack can connect or disconnect during placement
                raise RackUnreachable(_NO_RACK) from error
            raise none_available(request, error) from error

    async def _validate(self, caller: Caller, request: AllocateRequest) -> tuple[DeviceConstraints, HostFilter]:
        """Returns a filter that admits only the caller's resource pools.

        Raises InvalidRequest with all problems by field, NotFound or NotAllowed for a pool or host of others.
        """
        problems: dict[str, list[str]] = {}
        hosts = ANY_HOST
        devices = await checked_devices(self._database, request, problems)
        problems |= await unknown_words(self._database, request, caller)
        with collecting(problems):
            hosts = await resolve_host_filter(
                host_constraints(request), self._hosts, self._groups, caller=caller, host_field="pod"
            )
        if problems:
            raise InvalidRequest.of(problems)
        return devices, evolve(hosts, within_pool_ids=caller.operated_pools)

    async def _check_may_compose(self, caller: Caller, request: AllocateRequest) -> None:
        """Raises NoneAvailable for a request that names a machine: no other machine may be composed for it."""
        if not _names_machine(request):
            return
        wanted = MachineFilter(
            system_ids=() if request.system_id is None else (request.system_id,),
            hostnames=() if request.name is None else (request.name,),
        )
        async with self._database.connection() as db:
            found = await view_store.list_machines(db, wanted, caller=caller)
        reasons = [f" {obstacle}" for one in found if (obstacle := allocation_obstacle(caller, one))]
        raise NoneAvailable(no_match(request) + "".join(reasons))

    async def _matching(
        self, caller: Caller, request: AllocateRequest, devices: DeviceConstraints, hosts: HostFilter
    ) -> AsyncIterator[tuple[MachineView, Labels]]:
        """Yields ready machines that satisfy all constraints: by soft rules of groups, then the cheapest first."""
        async with self._database.connection() as db:
            every = await list_ready(db, caller, request, hosts)
            ready = await ready_by_preference(db, request, every, within=hosts.within_pool_ids)
        async for found in matching(self._database, [one.machine_id for one in ready], devices):
            yield found

    async def _take(
        self,
        caller: Caller,
        request: AllocateRequest,
        devices: DeviceConstraints,
        hosts: HostFilter,
        take: Callable[[MachineView, Labels], Awaitable[int | None]],
    ) -> int | None:
        """Returns the id of the operation of the first machine that `take` allocates; None if it allocates none.

        `take` skips a machine that another transaction has locked, for example to record a change of its guest. So the
        ready ones are tried once more before another machine is composed; a request that names one tries for longer.
        """
        for tries_left in reversed(range(_LOCK_TRIES if _names_machine(request) else 2)):
            has_match = False
            async for machine, labels in self._matching(caller, request, devices, hosts):
                has_match = True
                operation_id = await take(machine, labels)
                if operation_id is not None:
                    return operation_id
            if not has_match:
                break
            if tries_left:
                await asyncio.sleep(_LOCK_RETRY_S)
        return None

    async def _allocate(
        self,
        caller: Caller,
        request: AllocateRequest,
        machine: MachineView,
        labels: Labels,
        *,
        key: IdempotencyKey | None,
        requested: Mapping[str, Any],
    ) -> int | None:
        """Returns the id of the succeeded operation; None if the machine or its host is no longer suitable."""
        async with self._database.transaction() as db:
            await _check_permitted(db, caller, machine)
            if not await join_by_allocation(db, request, machine, within=caller.operated_pools):
                return None
            if not await lifecycle_store.allocate(db, machine.id, caller, request.agent_name):
                return None
            operation_id = await intent_store.insert_succeeded(
                db, OperationKind.ALLOCATE, host_id=machine.host_id, host_name=machine.host_name,
                machine_id=machine.id, system_id=machine.system_id, hostname=machine.hostname,
                account_id=caller.account_id, request=stored_request(Requested(requested=requested)),
                result=_write_labels(machine, labels),
            )  # fmt: skip
            await idempotency_service.tie_key(db, key, operation_id)
            await _record_event(db, caller, machine, operation_id, request.comment)
        return operation_id


def _requested(request: AllocateRequest) -> Mapping[str, Any]:
    return {"kind": OperationKind.ALLOCATE.value, **requested_fields(request)}


async def _check_permitted(db: Db, caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed if the caller's role has just been revoked, and QuotaExceeded. Locks no machine yet."""
    (is_operator,) = await still_operators(db, [(caller, machine.pool.id)])
    if not is_operator:
        raise NotAllowed(f"Your role in the resource pool {machine.pool.name!r} has just been revoked.")
    if machine.composed_by != caller.username:  # otherwise the machine already counts for the caller
        await quotas.charge_machine(db, machine.id, account_id=caller.account_id)


def none_available(request: AllocateRequest, error: InnkeeperError) -> NoneAvailable:
    """Returns the error when nothing can be composed either, with the first thing that each host lacks."""
    placement: Mapping[str, Any] = error.details.get("placement") or {}
    reasons = [f"{one['host']}: {one['reasons'][0]}" for one in placement.get("rejected", ())]
    reasons += [f"{one['hosts']} more: {one['reason']}" for one in placement.get("summarized", ())]
    why = " | ".join(reasons) or error.message or "There is no VM host."
    details = {"placement": placement} if placement else {}
    return NoneAvailable(f"{no_match(request)} {why}", **details)


def _names_machine(request: AllocateRequest) -> bool:
    return request.system_id is not None or request.name is not None


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

"""Allocate: a ready machine that fits, the cheapest first; else one is composed by the same constraints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from common.errors import InnkeeperError, InvalidRequest, NoneAvailable, OutOfCapacity, RackUnreachable
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.machines import allocate_store, life_store, store
from regiond.machines.asked_hosts import host_filter
from regiond.machines.asked_machines import hosts_of, intent_of, parts_of, refusal_of
from regiond.machines.composing import Composer
from regiond.machines.matching import Labels, Parts, labels_as_made, labels_of
from regiond.machines.model import AllocateRequest, MachineFilter, MachineView
from regiond.networks import naming, offers
from regiond.operations import store as operation_store
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Operations, request_hash
from regiond.placement.model import HostFilter, NicWish, Placement
from regiond.placement.selectors import names_in

if TYPE_CHECKING:
    from regiond.db.pool import Db

_NO_RACK = (
    "No ready machine fits, and none can be composed: no rack is connected to this region. Racks come back by "
    "themselves within seconds of a region's start; try again then."
)
READ_AT_ONCE = 50  # machines that are read whole to look at their disks and cards


@frozen(kw_only=True)
class Allocated:
    """A machine and what its labels mean."""

    machine: MachineView
    labels: Labels = field(factory=Labels)


class Allocator:
    def __init__(
        self, database: Database, operations: Operations, hosts: Hosts, groups: Groups, composer: Composer
    ) -> None:
        self._database = database
        self._operations = operations
        self._hosts = hosts
        self._groups = groups
        self._composer = composer

    async def start(self, caller: Caller, request: AllocateRequest, *, idempotency_key: str | None = None) -> Operation:
        """An operation: one that has ended when a machine was there, else the compose of the caller's new one.

        Raises InvalidRequest by field; NoneAvailable with what each host lacked, and RackUnreachable when none could be
        looked at, and then nothing is claimed; IdempotencyMismatch.
        """
        parts, hosts = await self._checked(request)
        asked = {"kind": OperationKind.ALLOCATE.value, **asdict(request)}

        async def open_() -> Operation | int:
            async for machine, labels in self._fitting(request, parts, hosts):
                taken = await self._take(caller, request, machine, labels, idempotency_key, asked)
                if taken is not None:
                    return taken
            if request.system_id is not None or request.name is not None:
                raise NoneAvailable(refusal_of(request))
            intent, had_racks = intent_of(request), self._composer.has_racks
            try:
                return await self._composer.open(caller, intent, key=idempotency_key, asked=asked)
            except OutOfCapacity as refused:
                if not (had_racks and self._composer.has_racks):  # one may come, or go, while hosts are looked at
                    raise RackUnreachable(_NO_RACK) from refused
                raise none_available(request, refused) from refused

        try:
            return await self._operations.once(caller, idempotency_key, asked, open_)
        except NoneAvailable as refused:
            if "placement" in refused.details:
                await self._composer.keep_refusal(caller, asked, refused)
            raise

    async def allocated(self, operation: Operation, request: AllocateRequest) -> Allocated:
        """The machine of an operation that has ended well. Raises NotFound when it is gone again."""
        async with self._database.connection() as db:
            machine = await store.read(db, operation.system_id or "")
        if operation.kind is OperationKind.ALLOCATE:
            return Allocated(machine=machine, labels=_told(operation.result))
        return Allocated(machine=machine, labels=labels_as_made(machine, parts_of(request)))

    async def dry_run(self, request: AllocateRequest) -> Allocated | Placement:
        """The machine that would be taken, or where one would be composed. Nothing is taken, claimed or written.

        Raises as `start`.
        """
        parts, hosts = await self._checked(request)
        async for machine, labels in self._fitting(request, parts, hosts):
            return Allocated(machine=machine, labels=labels)
        if request.system_id is not None or request.name is not None:
            raise NoneAvailable(refusal_of(request))
        intent = intent_of(request)
        placement = await self._composer.dry_run(intent.request, intent.hosts)
        if placement.chosen is None:
            raise none_available(request, OutOfCapacity("", placement=placement.as_explanation()))
        return placement

    async def _checked(self, request: AllocateRequest) -> tuple[Parts, HostFilter]:
        """What the constraints mean. Raises InvalidRequest by field."""
        parts = parts_of(request)
        async with self._database.connection() as db:
            wrong: dict[str, list[str]] = {}
            for name, nics in _named(request, parts).items():
                unknown = await naming.unknown(db, names_in(nics))
                if unknown:
                    wrong[name] = list(dict.fromkeys(unknown))
        if wrong:
            raise InvalidRequest.of(wrong)
        return parts, await host_filter(hosts_of(request), self._hosts, self._groups, host="pod")

    async def _fitting(
        self, request: AllocateRequest, parts: Parts, hosts: HostFilter
    ) -> AsyncIterator[tuple[MachineView, Labels]]:
        """Ready machines that have everything, cheapest first."""
        async with self._database.connection() as db:
            system_ids = await allocate_store.ready(db, request, hosts)
        for start in range(0, len(system_ids), READ_AT_ONCE):
            some = system_ids[start : start + READ_AT_ONCE]
            async with self._database.connection() as db:
                read = await store.list_machines(db, MachineFilter(system_ids=tuple(some)))
                wired = await offers.of_hosts(db, {one.host_id for one in read if one.host_id is not None})
            by_id = {machine.system_id: machine for machine in read}
            for system_id in some:
                machine = by_id.get(system_id)
                if machine is None:
                    continue
                labels = labels_of(machine, parts, wired.get(machine.host_id or 0, ()))
                if labels is not None:
                    yield machine, labels

    async def _take(
        self,
        caller: Caller,
        request: AllocateRequest,
        machine: MachineView,
        labels: Labels,
        key: str | None,
        asked: Mapping[str, Any],
    ) -> int | None:
        """The id of the operation that tells of it; None when somebody else got it, or it is not ready any more."""
        async with self._database.transaction() as db:
            if not await life_store.take(db, machine.id, caller.account_id, request.agent_name):
                return None
            operation_id = await operation_store.insert_done(
                db, OperationKind.ALLOCATE, host_id=machine.host_id, host_name=machine.host_name,
                machine_id=machine.id, system_id=machine.system_id, hostname=machine.hostname,
                account_id=caller.account_id, request={"asked": dict(asked)}, result=_telling(machine, labels),
            )  # fmt: skip
            if key is not None:
                await operation_store.keep_key(db, caller.account_id, key, request_hash(asked), operation_id)
            await self._tell(db, caller, machine, operation_id, request.comment)
        return operation_id

    async def _tell(self, db: Db, caller: Caller, machine: MachineView, operation_id: int, comment: str) -> None:
        message = f"{machine.hostname} was allocated to {caller.username}"
        await Events.record(
            db, "machine_allocated", message, caller=caller, host_id=machine.host_id, system_id=machine.system_id,
            operation_id=operation_id, details={"comment": comment} if comment else None,
        )  # fmt: skip


def none_available(request: AllocateRequest, refused: InnkeeperError) -> NoneAvailable:
    """In the words that clients know, then the first thing that each host lacked."""
    found: Mapping[str, Any] = refused.details.get("placement") or {}
    lacks = [f"{one['host']}: {one['reasons'][0]}" for one in found.get("refused", ())]
    lacks += [f"{one['hosts']} more: {one['reason']}" for one in found.get("left_out", ())]
    why = " | ".join(lacks) or refused.message or "There is no VM host."
    details = {"placement": found} if found else {}
    return NoneAvailable(f"{refusal_of(request)} {why}", **details)


def _named(request: AllocateRequest, parts: Parts) -> Mapping[str, tuple[NicWish, ...]]:
    """By field, the networks that are named in it, as wishes."""
    fields = ("subnets", "fabrics")
    conditions = iter((*parts.attached, *parts.detached))
    found: dict[str, tuple[NicWish, ...]] = {"interfaces": parts.nics}
    for name in (*fields, *(f"not_{one}" for one in fields)):
        own = tuple(next(conditions) for _ in getattr(request, name))
        found[name] = (NicWish(label=name, conditions=own),)
    return found


def _telling(machine: MachineView, labels: Labels) -> Mapping[str, Any]:
    return {
        "system_id": machine.system_id,
        "hostname": machine.hostname,
        "disks": [list(pair) for pair in labels.disks],
        "nics": [list(pair) for pair in labels.nics],
    }


def _told(result: Mapping[str, Any]) -> Labels:
    return Labels(
        disks=tuple((label, id_) for label, id_ in result["disks"]),
        nics=tuple((label, id_) for label, id_ in result["nics"]),
    )

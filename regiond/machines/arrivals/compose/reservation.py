"""Stage 3, reserve: one transaction writes claims, addresses, machines and operations."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from enum import Enum
from functools import partial
from uuid import UUID
from weakref import WeakValueDictionary

import asyncpg
from attrs import frozen

from common.errors import Busy, DatabaseUnavailable, OutOfCapacity
from common.words.operation_kinds import OperationKind
from regiond.db.pool import CONFLICTS, STATEMENT_DEADLINE_S, Database, Db
from regiond.events.service import Events
from regiond.exports.reading import DiskParts
from regiond.hosts.model import inherited_tags
from regiond.ledger.claims import claim_batch, claim_discrete, limit_later_locks, lock_hosts
from regiond.machines.arrivals.compose.claims import (
    claim_addresses,
    demand_of,
    discrete_claims_of,
    new_spec,
    nic_addresses,
)
from regiond.machines.arrivals.compose.model import (
    NOT_COUNTED,
    ClaimOutcome,
    CopyPlan,
    HostAssignment,
    OnClaim,
    PendingClaims,
    ReservationRequest,
)
from regiond.machines.arrivals.compose.permits import admit, hold_sources, permit, pool_of
from regiond.machines.arrivals.compose.requirements import hostname_taken
from regiond.machines.arrivals.compose.store import NewMachine, insert_machines, taken_hostnames
from regiond.machines.core.affinity.store import add, groups_of
from regiond.machines.core.operation_intents import MAX_FAILURES
from regiond.machines.core.store import IdentifierTaken
from regiond.machines.values.guest_request import GuestRequest
from regiond.machines.values.requests import ComposeIntent, StoredCompose
from regiond.operations import intent_store
from regiond.operations.idempotency import service as idempotency_service
from regiond.operations.model import NewOperation, Operation, stored_request
from regiond.operations.own_operations import NO_OWN_OPERATIONS, OwnOperations
from regiond.placement.affinity import GroupRule
from regiond.placement.candidate import Candidate
from regiond.placement.model import Evaluation, explain
from regiond.process.batcher import Batcher
from regiond.requests.identifiers import new_hostname, new_system_id, numbered

NAME_ATTEMPTS = 8
LOCK_ATTEMPTS = 50  # each waits 200 ms for a lock: 10 s or more
BATCH_LIMIT = 16  # larger batches would delay their first compose; other composes are placed meanwhile


class _Retry(Enum):
    INDIVIDUALLY = "retry individually"
    PLACE_AGAIN = "place again"  # another machine of one of its groups was first, which may rule out further hosts


@frozen(kw_only=True)
class Reservation:
    """One machine to be reserved on one host."""

    request: ReservationRequest
    assignment: HostAssignment

    @property
    def host(self) -> Candidate:
        return self.assignment.host

    @property
    def evaluation(self) -> Evaluation:
        return self.assignment.evaluation

    @property
    def intent(self) -> ComposeIntent:
        return self.assignment.validated.intent

    @property
    def rules(self) -> Sequence[GroupRule]:
        return self.assignment.requirements.groups

    @property
    def copy(self) -> CopyPlan | None:
        return self.assignment.validated.copy

    @property
    def owner_id(self) -> int | None:
        """The account that the machine belongs to; None: it is stock."""
        owner = self.assignment.validated.owner
        return None if owner is None else owner.account_id

    @property
    def hostname(self) -> str | None:
        """The requested hostname, if any."""
        return self.assignment.validated.hostname


class Reservations:
    """Commits composes. Concurrent ones share a transaction, each with the guarded totals of its server.

    A compose in conflict never delays or fails the others: it is retried in a transaction of its own, which waits for
    locks and reports the error.
    """

    turn_timeout_s: float = STATEMENT_DEADLINE_S

    def __init__(
        self,
        database: Database,
        pending: PendingClaims,
        *,
        installation_id: UUID,
        on_claim: OnClaim = NOT_COUNTED,
        own_operations: OwnOperations = NO_OWN_OPERATIONS,
    ) -> None:
        self._database = database
        self._own_operations = own_operations
        self._pending = pending
        self._installation_id = installation_id
        self._on_claim = on_claim
        self._batcher: Batcher[Reservation, Operation | _Retry | None] = Batcher(
            self.reserve_batch, limit=BATCH_LIMIT, name="reserve machines"
        )
        self._turns: WeakValueDictionary[int | str | None, asyncio.Lock] = WeakValueDictionary()

    async def reserve(self, request: ReservationRequest) -> Operation | None:
        """Returns the committed operation on the best host that still has capacity; None if none has: place again.

        Raises InvalidRequest for a host name that is taken, WrongState for an address, Busy while the server stays
        locked; then nothing was written.
        """
        for evaluation in request.placed.placement.ranked:
            host = request.placed.candidates[evaluation.host_id]
            with self._pending.register(request.placed.validated.requirements, evaluation, host):
                assignment = HostAssignment(
                    validated=request.placed.validated,
                    evaluation=evaluation,
                    host=host,
                    nic_addresses=await nic_addresses(self._database, evaluation),
                )
                reservation = Reservation(request=request, assignment=assignment)
                result = await self._batcher.submit(reservation)
                if result is _Retry.INDIVIDUALLY:
                    self._on_claim[ClaimOutcome.RETRIED]()
                    result = await self._in_turn(reservation)
            self._on_claim[ClaimOutcome.WON if isinstance(result, Operation) else ClaimOutcome.LOST]()
            if isinstance(result, Operation):
                return result
            if result is _Retry.PLACE_AGAIN:
                return None
        return None

    async def reserve_batch(self, batch: Sequence[Reservation]) -> Sequence[Operation | _Retry | Exception | None]:
        """Returns a result for each reservation. After an error halves the batch until the failing one is alone.

        If the database is lost midway, committed reservations receive their operations and the others the error.
        """
        results: list[Operation | _Retry | Exception | None] = []
        parts = [batch]
        while parts:
            part = parts.pop()
            half = len(part) // 2
            try:
                writing = self._database.in_transaction(partial(self._write, batch=part, wait=False))
                results += await self._own_operations.begun(writing)
            except DatabaseUnavailable as error:
                if not results:
                    raise
                return [*results, *[error] * (len(batch) - len(results))]
            except Exception:  # noqa: BLE001  # the individual retry raises it again
                if half:
                    parts += [part[half:], part[:half]]
                else:
                    results.append(_Retry.INDIVIDUALLY)
        return results

    async def _in_turn(self, reservation: Reservation) -> Operation | _Retry | None:
        """Retries one reservation, one per group and server at a time: each waits for locks and occupies a connection.

        Raises Busy after `turn_timeout_s` without a turn.
        """
        async with AsyncExitStack() as turns:
            try:
                async with asyncio.timeout(self.turn_timeout_s):
                    for key in (*groups_of(reservation.rules), reservation.host.server_id):
                        await turns.enter_async_context(self._turns.setdefault(key, asyncio.Lock()))
            except TimeoutError:
                raise Busy(
                    f"{reservation.host.name} is busy: other requests have waited for it for {self.turn_timeout_s:g} s "
                    "while a refresh or another change is applied. Nothing was changed; retry later."
                ) from None
            return await self._individually(reservation)

    async def _individually(self, reservation: Reservation) -> Operation | _Retry | None:
        hostname = reservation.hostname
        for _ in range(NAME_ATTEMPTS):
            try:
                writing = self._database.in_transaction(
                    partial(self._write, batch=[reservation], wait=True),
                    tries=LOCK_ATTEMPTS,
                    conflicts=(*CONFLICTS, asyncpg.LockNotAvailableError),
                )
                (result,) = await self._own_operations.begun(writing)
            except OutOfCapacity:
                return None
            except IdentifierTaken as taken:
                if hostname is not None and "hostname" in taken.constraint:
                    raise hostname_taken(hostname) from taken
                continue
            return None if result is _Retry.INDIVIDUALLY else result
        raise OutOfCapacity("No free host name was found; set hostname.")

    async def _write(self, db: Db, *, batch: Sequence[Reservation], wait: bool) -> Sequence[Operation | _Retry | None]:
        """Writes each reservation that fits on its host. Another must be retried individually if it shares a server
        with one of the batch, or, without `wait`, if its host, group or quota is locked."""
        permitted = await permit(db, [(one.request.caller, one.assignment) for one in batch], wait=wait)
        if not all(permitted):
            return await self._write_admitted(db, batch, permitted, wait=wait)
        admitted = await admit(db, [one.assignment for one in batch], wait=wait)
        if not all(admitted):
            return await self._write_admitted(db, batch, admitted, wait=wait)
        locked = await lock_hosts(db, [one.host.id for one in batch], wait=wait)
        if wait:
            await limit_later_locks(db)
        demands = [demand_of(one.assignment) for one in batch]
        claimed = await claim_batch(db, [demand for demand in demands if demand.host_id in locked])
        won = [one for one in batch if one.host.id in claimed.servers]
        operations = iter(await self._write_won(db, won, claimed.servers) if won else ())
        per_server = Counter(one.host.server_id for one in batch)
        return [next(operations) if one.host.id in claimed.servers else _lost(one, locked, per_server) for one in batch]

    async def _write_admitted(
        self, db: Db, batch: Sequence[Reservation], admitted: Sequence[bool], *, wait: bool
    ) -> Sequence[Operation | _Retry | None]:
        """Writes the reservations that their groups admit. A single one that is not admitted must be placed again."""
        if len(batch) == 1:
            return [_Retry.PLACE_AGAIN if wait else _Retry.INDIVIDUALLY]
        rest = [one for one, admits in zip(batch, admitted, strict=True) if admits]
        written = iter(await self._write(db, batch=rest, wait=wait) if rest else ())
        return [next(written) if admits else _Retry.INDIVIDUALLY for admits in admitted]

    async def _write_won(
        self, db: Db, batch: Sequence[Reservation], servers: Mapping[int, int]
    ) -> tuple[Operation, ...]:
        """Writes the rows of each reservation and returns the operations. The totals of all are raised already."""
        await hold_sources(db, [one.copy for one in batch if one.copy is not None])
        for export_id in sorted({one.intent.imported.export_id for one in batch if one.intent.imported is not None}):
            await DiskParts.hold(db, export_id)
        named = zip(batch, await _hostnames(db, batch), strict=True)
        machines = [self._new_machine(one, hostname, servers[one.host.id]) for one, hostname in named]
        ids = await insert_machines(db, machines)
        machine_ids = [ids[machine.spec.marker.machine_id] for machine in machines]
        written = list(zip(batch, machines, machine_ids, strict=True))
        for one, _, machine_id in written:
            await claim_discrete(db, servers[one.host.id], machine_id, discrete_claims_of(one.evaluation))
            await claim_addresses(db, machine_id, one.evaluation)
        if any(one.rules for one in batch):
            await add(db, [(machine_id, one.rules) for one, _, machine_id in written])
        new = [_new_operation(*parts) for parts in written]
        operations = await intent_store.insert_several(db, OperationKind.COMPOSE, new, own=self._own_operations)
        for one, operation in zip(batch, operations, strict=True):
            await _write_key_and_event(db, one, operation)
        return operations

    def _new_machine(self, reservation: Reservation, hostname: str, server_id: int) -> NewMachine:
        one = reservation.assignment
        return NewMachine(
            spec=new_spec(one, hostname, self._installation_id), system_id=new_system_id(), host_id=one.host.id,
            server_id=server_id, demand=demand_of(one),
            composed_by_id=reservation.request.caller.account_id, owner_id=reservation.owner_id,
            agent_name=reservation.intent.agent_name,
            is_stock=reservation.owner_id is None and not reservation.intent.request.power_on, pool_id=pool_of(one),
            chosen_zone_id=one.validated.zone_id, tags=_tags(reservation),
            disks=one.evaluation.disks, nics=one.evaluation.nics,
        )  # fmt: skip


def _tags(one: Reservation) -> Sequence[str]:
    tags = inherited_tags(one.host.tags)
    return tags if one.copy is None else tuple(dict.fromkeys((*tags, *one.copy.copied.tags)))


def _lost(one: Reservation, locked: Collection[int], per_server: Mapping[int | None, int]) -> _Retry | None:
    race_lost = one.host.id in locked and per_server[one.host.server_id] == 1
    return None if race_lost else _Retry.INDIVIDUALLY


async def _hostnames(db: Db, batch: Sequence[Reservation]) -> list[str]:
    """Returns the requested host names; otherwise new ones of two words, with a number if they are taken."""
    wanted = [one.hostname or new_hostname() for one in batch]
    used = {*await taken_hostnames(db, wanted)}
    hostnames: list[str] = []
    for one, name in zip(batch, wanted, strict=True):
        hostnames.append(numbered(name) if one.hostname is None and name in used else name)
        used.add(hostnames[-1])
    return hostnames


def _new_operation(one: Reservation, machine: NewMachine, machine_id: int) -> NewOperation:
    request, caller = one.intent.request, one.request.caller
    stored = StoredCompose(
        power_on=request.power_on, intent=None if request.host_id is not None else one.intent,
        copied=None if one.copy is None else one.copy.copied, asked=None if one.copy is None else one.copy.asked,
        register_in_maas=request.register_in_maas, import_=one.intent.imported,
    )  # fmt: skip
    return NewOperation(
        host_id=one.host.id, host_name=one.host.name, machine_id=machine_id, system_id=machine.system_id,
        hostname=machine.spec.name, account_id=caller.account_id, username=caller.username,
        request=stored_request(GuestRequest(spec=machine.spec), stored),
        explanation=explain(one.request.placed.placement, reserved=one.evaluation), max_failures=MAX_FAILURES,
        origin=one.request.origin, parent=one.request.parent,
        source_machine_id=None if one.copy is None else one.copy.source.id,
    )  # fmt: skip


async def _write_key_and_event(db: Db, one: Reservation, operation: Operation) -> None:
    """Writes the idempotency key, if any, and an event that says whose the machine will be, unless it is stock."""
    caller, owner, comment = one.request.caller, one.assignment.validated.owner, one.intent.comment
    await idempotency_service.tie_key(db, one.request.idempotency_key, operation.id)
    if owner is not None:
        await Events.record(
            db, "machine_allocated", f"{operation.hostname} is being composed for {owner.username}", caller=caller,
            host_id=operation.host_id, system_id=operation.system_id, operation_id=operation.id,
            details={"comment": comment} if comment else None,
        )  # fmt: skip

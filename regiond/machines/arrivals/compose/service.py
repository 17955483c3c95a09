"""The compose pipeline: validates, places and reserves; the operation handler then runs and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import asdict, evolve

from common.errors import InvalidRequest, NotAllowed, OutOfCapacity
from common.guests.compose_request import ComposeRequest
from common.words.operation_kinds import OperationKind
from regiond.accounts.grants import with_grants
from regiond.accounts.service import active_user
from regiond.db.pool import Database
from regiond.machines.arrivals.compose.capacity_limits import no_capacity
from regiond.machines.arrivals.compose.model import (
    ClaimOutcome,
    HostAssignment,
    ReservationRequest,
    Templates,
    ValidatedCompose,
)
from regiond.machines.arrivals.compose.permits import quota_refusal
from regiond.machines.arrivals.compose.stages import ComposeStages
from regiond.machines.values.requests import (
    NO_HOST_CONSTRAINTS,
    ComposeIntent,
    HostConstraints,
    Requested,
    requested_fields,
)
from regiond.operations import intent_store
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, Parent, stored_request
from regiond.operations.service import Operations
from regiond.placement.model import DryRun
from regiond.placement.requirements import Strategy
from regiond.racks.calls.host_calls import HostCalls
from regiond.requests.caller import Caller
from regiond.requests.validation_messages import no_object

PLACE_ATTEMPTS = 100  # each follows a lost race, which another request won


class Composer:
    """Turns compose requests into committed operations."""

    def __init__(
        self,
        database: Database,
        operations: Operations,
        calls: HostCalls,
        stages: ComposeStages,
        templates: Templates,
    ) -> None:
        self._database = database
        self._operations = operations
        self._calls = calls
        self._stages = stages
        self._templates = templates

    async def start_compose(
        self,
        caller: Caller,
        request: ComposeRequest,
        hosts: HostConstraints = NO_HOST_CONSTRAINTS,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the committed operation: host chosen, claims written, machine `composing`.

        Raises InvalidRequest with all problems by field, NotFound for the named host, OutOfCapacity with the shortage
        of each host, WrongState for an address that is taken, Busy while the host stays locked; with `need_rack`
        RackUnreachable if no connected rack reaches the named host. After an error nothing is claimed. If no host at
        all can take the machine, a failed operation records the reason. Idempotent with the same key. The caller must
        be an operator in the pool of a named host. Otherwise only hosts in its pools that match `hosts` are considered.
        """

        async def open_() -> Operation:
            intent = ComposeIntent(request=request, hosts=hosts)
            return await self.reserve(
                caller, intent, idempotency_key=idempotency_key, need_rack=need_rack, parent=parent
            )

        try:
            return await self._operations.idempotent(idempotency_key, open_)
        except OutOfCapacity as error:
            if request.host_id is None and request.template is None:
                requested = requested_fields(request)
                if hosts != NO_HOST_CONSTRAINTS:  # stored only where given, as later fields of requests are
                    requested["hosts"] = asdict(hosts)
                await self.record_rejection(caller, requested, error)
            raise

    async def reserve(
        self,
        caller: Caller,
        intent: ComposeIntent,
        *,
        idempotency_key: IdempotencyKey | None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Runs the stages up to the committed operation. Raises as `start_compose`, without checking permissions."""
        validated = await self._validated(caller, intent)
        host_id = validated.intent.request.host_id
        for _ in range(PLACE_ATTEMPTS):
            placed = await self._stages.queries.place(validated)
            if placed is None:
                continue
            if need_rack and host_id is not None and not self.has_racks:
                await self._calls.require(host_id)
            if placed.placement.chosen is None:
                self._stages.on_claim[ClaimOutcome.OUT_OF_CAPACITY]()
                raise no_capacity(placed.placement, named=host_id is not None)
            operation = await self._stages.reservations.reserve(
                ReservationRequest(
                    caller=caller,
                    placed=placed,
                    idempotency_key=idempotency_key,
                    parent=parent,
                    origin=intent_store.current_origin(),
                )
            )
            if operation is not None:
                return operation
        raise OutOfCapacity("Other requests took the capacity first, repeatedly. Try again.")

    async def dry_run(
        self,
        caller: Caller,
        request: ComposeRequest,
        constraints: HostConstraints = NO_HOST_CONSTRAINTS,
        *,
        strategy: Strategy | None = None,
        count: int = 1,
    ) -> DryRun:
        """Returns where up to `count` equal machines would be placed, and the shortages of other hosts.

        Each machine is placed as if the ones before it were composed. Writes nothing, calls no host. Raises
        InvalidRequest with all problems by field, and NotFound for `request.host_id`.
        """
        validated = await self._validated(caller, ComposeIntent(request=request, hosts=constraints))
        if strategy is not None:
            validated = evolve(validated, strategy=strategy)
        found = await self._stages.queries.preview(validated, times=count)
        placements = (found.placement, *found.following)
        asked = [
            HostAssignment(validated=validated, evaluation=one.chosen, host=found.candidates[one.chosen.host_id])
            for one in placements
            if one.chosen is not None
        ]
        async with self._database.connection() as db:
            return DryRun(placements=placements, refusal=await quota_refusal(db, caller, asked))

    async def problems(
        self, caller: Caller, request: ComposeRequest, constraints: HostConstraints = NO_HOST_CONSTRAINTS
    ) -> Mapping[str, list[str]]:
        """Returns the problems, by field, that `start_compose` and `dry_run` would raise. Only reads."""
        try:
            await self._validated(caller, ComposeIntent(request=request, hosts=constraints))
        except InvalidRequest as error:
            return error.fields
        return {}

    async def hostname_problems(self, hostnames: Sequence[str]) -> Mapping[str, list[str]]:
        """Returns the problem of the first that is invalid or taken, under `hostname`. Only reads."""
        try:
            await self._stages.validator.check_hostnames(hostnames)
        except InvalidRequest as error:
            return error.fields
        return {}

    async def record_rejection(self, caller: Caller, requested: Mapping[str, object], error: OutOfCapacity) -> None:
        """Records a failed operation for a request that no host can take, and adds its id to the error's details.

        Equal requests of one account within an hour are one operation.
        """
        async with self._database.transaction() as db:
            error.details["operation"] = await intent_store.record_rejected(
                db, OperationKind.COMPOSE, account_id=caller.account_id,
                request=stored_request(Requested(requested=requested)),
                explanation=error.details.get("placement"), code=error.code, message=error.message,
            )  # fmt: skip

    async def _validated(self, caller: Caller, intent: ComposeIntent) -> ValidatedCompose:
        """Returns the validated compose, restricted to the resource pools of the caller."""
        operated = caller.operated_pools
        if operated is not None:
            intent = evolve(intent, pool_ids=tuple(sorted(operated)))
        copy = None
        if intent.request.template is not None:
            copy = await self._templates.plan(caller, intent.request)
            intent = evolve(intent, request=copy.request)
        owner = await self._owner(caller, intent.request)
        if owner is not None and owner.operated_pools is not None:
            pool_ids = owner.operated_pools if intent.pool_ids is None else owner.operated_pools & {*intent.pool_ids}
            intent = evolve(intent, pool_ids=tuple(sorted(pool_ids)))
        return evolve(await self._stages.validator.validate(intent, caller=caller, copy=copy), owner=owner)

    async def _owner(self, caller: Caller, request: ComposeRequest) -> Caller | None:
        """Returns whose the machine will be; None for stock. Raises NotAllowed, and InvalidRequest under `owner`."""
        if request.stock and request.owner is not None:
            raise InvalidRequest.of({"owner": ["Stock belongs to nobody. Give owner, or stock=true, not both."]})
        if request.stock:
            return None
        if request.owner in {None, caller.username}:
            return caller
        if not caller.is_admin:
            raise NotAllowed(
                f"Only administrators compose for others: {caller.username} cannot compose for {request.owner}. "
                "Leave out owner to compose for yourself."
            )
        async with self._database.connection() as db:
            found = await active_user(db, request.owner or "") if (request.owner or "").isprintable() else None
            if found is None:
                raise InvalidRequest.of({"owner": [no_object("active user", request.owner or "")]})
            return await with_grants(db, found)

    @property
    def has_racks(self) -> bool:
        """Whether a rack is connected to this process; without one, no host is reachable."""
        return bool(self._calls.racks)

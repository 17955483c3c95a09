"""Moves a compose whose host failed: places it again, then replaces its claims and target."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from attrs import frozen

from common.errors import InvalidRequest, OutOfCapacity, RackUnreachable, WrongState
from common.guests.guest_spec import GuestSpec
from regiond.db.pool import Database, Db
from regiond.hosts.model import inherited_tags
from regiond.ledger.claims import lock_hosts
from regiond.machines.arrivals.compose.claims import claim_all, new_spec, nic_addresses
from regiond.machines.arrivals.compose.model import HostAssignment
from regiond.machines.arrivals.compose.permits import permitted_alternatives, within_pool_quotas
from regiond.machines.arrivals.compose.placement_queries import NAMED_HOSTS, without_tried
from regiond.machines.arrivals.compose.stages import ComposeStages
from regiond.machines.arrivals.compose.store import pool_of_machine, rewrite_machine
from regiond.machines.core.store import IdentifierTaken
from regiond.machines.values.guest_request import GuestRequest
from regiond.machines.values.requests import ComposeIntent, StoredCompose
from regiond.operations import store as operation_store
from regiond.operations.model import Operation
from regiond.placement.candidate import Candidate
from regiond.placement.model import Placement, explain
from regiond.racks.calls.host_calls import HostCalls

MAX_ALTERNATIVES = 5  # tried in succession when other requests take the capacity of the best one


@frozen(kw_only=True)
class RescheduleOptions:
    """The hosts to which a compose can move, the best first, and the placement that ranked them."""

    placement: Placement
    alternatives: tuple[HostAssignment, ...]


def stored_intent(operation: Operation) -> ComposeIntent | None:
    """Returns the intent of a compose; None if the request named the host, so that no other host may be used."""
    return operation.request_as(StoredCompose).intent


class Rescheduler:
    """Uses the stages of compose: validate and place before the transaction, reserve in it."""

    def __init__(
        self,
        database: Database,
        stages: ComposeStages,
        calls: HostCalls,
        *,
        installation_id: UUID,
    ) -> None:
        self._database = database
        self._stages = stages
        self._calls = calls
        self._installation_id = installation_id

    async def find_options(self, operation: Operation, tried: Collection[int]) -> RescheduleOptions | None:
        """Returns the hosts where the compose could run, except the hosts `tried`. Only reads; the list may be empty.

        Returns None if the compose names its host or can no longer be validated. The machine's own claims count as
        taken, so release them first. Raises RackUnreachable while no rack is connected to this region: then nothing
        is known about the hosts.
        """
        intent = stored_intent(operation)
        if intent is None:
            return None
        had_racks = bool(self._calls.racks)
        try:
            validated = await self._stages.validator.validate(intent, caller=None, machine_id=operation.machine_id)
        except InvalidRequest:
            return None
        try:
            placed = await self._stages.queries.preview(
                without_tried(validated, tried), named=NAMED_HOSTS, machine_id=operation.machine_id
            )
        except InvalidRequest:
            return None
        if placed.placement.chosen is None and not (had_racks and self._calls.racks):
            raise RackUnreachable("No rack is connected to this region, so no other host can be chosen yet.")
        alternatives = [
            HostAssignment(
                validated=placed.validated,
                evaluation=evaluation,
                host=placed.candidates[evaluation.host_id],
                nic_addresses=await nic_addresses(self._database, evaluation),
            )
            for evaluation in placed.placement.ranked[:MAX_ALTERNATIVES]
        ]
        return RescheduleOptions(placement=placed.placement, alternatives=tuple(alternatives))

    async def reschedule(
        self,
        db: Db,
        operation: Operation,
        machine_id: int,
        options: RescheduleOptions,
        tried: Collection[Mapping[str, Any]],
    ) -> Candidate:
        """Claims the best alternative that still has capacity, and redirects machine and operation to that host.

        The machine gets a new UUID and marker, so a guest that a stale call still creates under the old UUID can be
        recognized. Raises OutOfCapacity if other requests took the capacity of all alternatives; the caller's
        transaction must then roll back.
        """
        fitting = await within_pool_quotas(db, await pool_of_machine(db, machine_id), options.alternatives)
        for one in await permitted_alternatives(db, machine_id, fitting):
            spec = new_spec(one, operation.hostname or "", self._installation_id)
            try:
                async with db.transaction():  # a lost race releases the locks of that host
                    await _rewrite(db, machine_id, spec, one)
            except (OutOfCapacity, WrongState, IdentifierTaken):
                continue
            explanation = explain(options.placement, reserved=one.evaluation)
            await operation_store.redirect(
                db, operation.id, host_id=one.host.id, host_name=one.host.name,
                request=operation.request_with(GuestRequest(spec=spec)),
                explanation={**explanation, "tried": [dict(each) for each in tried]},
            )  # fmt: skip
            return one.host
        raise OutOfCapacity("Other requests took the capacity of every other host, or machines of a group are on them.")


async def _rewrite(db: Db, machine_id: int, spec: GuestSpec, one: HostAssignment) -> None:
    await lock_hosts(db, [one.host.id], wait=True)
    await rewrite_machine(
        db, machine_id, spec, host_id=one.host.id,
        pool_id=one.host.pool_id if one.validated.intent.request.pool is None else None,
        keeps_zone=one.validated.intent.request.zone is not None,
        tags=inherited_tags(one.host.tags), disks=one.evaluation.disks, nics=one.evaluation.nics,
    )  # fmt: skip
    await claim_all(db, machine_id, one)

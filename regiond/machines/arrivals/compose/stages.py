"""Builds the stages that compose, allocation and rescheduling share."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from regiond.db.pool import Database
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.machines.arrivals.compose.model import NOT_COUNTED, MaasRegistrations, OnClaim, PendingClaims
from regiond.machines.arrivals.compose.placement_queries import PlacementQueries
from regiond.machines.arrivals.compose.requirements import Validator
from regiond.machines.arrivals.compose.reservation import Reservations
from regiond.operations.own_operations import NO_OWN_OPERATIONS, OwnOperations
from regiond.placement.requirements import Strategy
from regiond.racks.calls.host_calls import HostCalls


@frozen(kw_only=True)
class ComposeStages:
    """The stages before the operation: validate, place, reserve. `on_claim` is called for each attempt."""

    validator: Validator
    queries: PlacementQueries
    reservations: Reservations
    on_claim: OnClaim = NOT_COUNTED


def build_stages(
    database: Database,
    hosts: Hosts,
    groups: Groups,
    calls: HostCalls,
    *,
    installation_id: UUID,
    strategy: Strategy,
    on_claim: OnClaim = NOT_COUNTED,
    registrations: MaasRegistrations | None = None,
    own_operations: OwnOperations = NO_OWN_OPERATIONS,
) -> ComposeStages:
    """Returns the stages of one region process. `strategy` is for resource pools without their own."""
    pending = PendingClaims()
    return ComposeStages(
        validator=Validator(database, hosts, groups, strategy=strategy, registrations=registrations),
        queries=PlacementQueries(database, hosts, calls, pending),
        reservations=Reservations(
            database, pending, installation_id=installation_id, on_claim=on_claim, own_operations=own_operations
        ),
        on_claim=on_claim,
    )

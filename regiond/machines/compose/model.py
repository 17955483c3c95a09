"""The values that the stages of compose pass on: validated, placed and to be reserved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from common.guest_spec import NicAddress
from regiond.caller import Caller
from regiond.idempotency.model import IdempotencyKey
from regiond.machines.model import ComposeIntent
from regiond.placement.model import Candidate, Evaluation, Placement, Requirements, Strategy


@frozen(kw_only=True)
class ValidatedCompose:
    """The result of *validate*: names are resolved and exist. `pool_id` None means the pool of the host."""

    intent: ComposeIntent
    requirements: Requirements
    strategy: Strategy
    hostname: str | None
    zone_id: int
    pool_id: int | None


@frozen(kw_only=True)
class PlacedCompose:
    """The result of *place*: the ranked hosts, and each evaluated host by its id.

    `following` are the placements of further equal machines that a dry run asks for, as far as they fit.
    """

    validated: ValidatedCompose
    placement: Placement
    candidates: Mapping[int, Candidate]
    following: tuple[Placement, ...] = ()


@frozen(kw_only=True)
class ReservationRequest:
    """The input of the stage *reserve*."""

    caller: Caller
    placed: PlacedCompose
    idempotency_key: IdempotencyKey | None


@frozen(kw_only=True)
class HostAssignment:
    """A machine and the host chosen for it. `nic_addresses` has the settings of each static address."""

    validated: ValidatedCompose
    evaluation: Evaluation
    host: Candidate
    nic_addresses: Mapping[str, NicAddress] = field(factory=dict)

    @property
    def requirements(self) -> Requirements:
        return self.validated.requirements


def common_pools(batch: Iterable[Requirements]) -> frozenset[int] | None:
    """Returns the resource pools that all of the requests may use; None: all pools."""
    restrictions = [one.hosts.within_pool_ids for one in batch if one.hosts.within_pool_ids is not None]
    return frozenset.intersection(*restrictions) if restrictions else None

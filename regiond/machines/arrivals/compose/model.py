"""The values that the stages of compose pass on, and the claims that are being committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen

from common.guests.compose_request import ComposeRequest
from common.guests.guest_spec import NicAddress
from regiond.db.pool import Db
from regiond.machines.values.clones import Copied
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import ComposeIntent
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, Origin, Parent
from regiond.placement.candidate import Candidate
from regiond.placement.model import Evaluation, PendingClaim, Placement
from regiond.placement.requirements import DiskRequirement, NicRequirement, Requirements, Strategy
from regiond.requests.caller import Caller


class ClaimOutcome(StrEnum):
    """The end of one attempt to claim the capacity of a host for a machine, or of the search for a host."""

    WON = "won"
    LOST = "lost"  # another request took the capacity first, or another machine of the affinity group the host
    RETRIED = "retried"  # did not fit into a shared transaction: repeated in one of its own
    OUT_OF_CAPACITY = "out_of_capacity"  # no host has room


# Called at each outcome: a compose passes no module of metrics on its way.
OnClaim = Mapping[ClaimOutcome, Callable[[], object]]
NOT_COUNTED: OnClaim = {outcome: lambda: None for outcome in ClaimOutcome}


@frozen(kw_only=True)
class CopyPlan:
    """The part of a compose that is of its template, `source` as it was read: what was `asked` for, the request with
    its defaults, the disks, and the NICs (None: those of the request)."""

    asked: ComposeRequest
    request: ComposeRequest
    copied: Copied
    source: MachineView
    disks: tuple[DiskRequirement, ...]
    nics: tuple[NicRequirement, ...] | None


class Templates(Protocol):
    """Reads the templates of composes."""

    async def plan(self, caller: Caller, request: ComposeRequest) -> CopyPlan:
        """Raises NotFound, NotAllowed, WrongState, OutOfCapacity and InvalidRequest. Only reads."""


class MaasRegistrations(Protocol):
    """The registration of machines in MAAS servers, as composes need it."""

    async def problems(self, server: str) -> Sequence[str]:
        """Returns why no machine can be registered in a server of this name; nothing if one can."""

    async def composed(self, db: Db, operation: Operation, server_name: str) -> None:
        """Opens the registration of the machine, in the transaction that ends the operation."""

    async def deleted(self, db: Db, operation: Operation) -> None:
        """Opens the deletion of what MAAS servers have of a machine that was deleted, in the same way."""


@frozen(kw_only=True)
class ValidatedCompose:
    """The result of *validate*: names are resolved and exist. No `zone_id` or `pool_id`: that of the host.

    `owner` is whose the machine will be; None: it is stock.
    """

    intent: ComposeIntent
    requirements: Requirements
    strategy: Strategy
    hostname: str | None
    zone_id: int | None
    pool_id: int | None
    copy: CopyPlan | None = None
    owner: Caller | None = None


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
    parent: Parent | None
    origin: Origin  # known here: several are reserved at once, in no request's context


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


class PendingClaims:
    """The pending claims of this process. A query of the database may or may not see them yet."""

    def __init__(self) -> None:
        self._claims: dict[object, PendingClaim] = {}

    @contextmanager
    def register(self, requirements: Requirements, evaluation: Evaluation, host: Candidate) -> Iterator[None]:
        """Counts the claims as taken until the block ends, when their transaction is committed or rolled back."""
        key = object()
        self._claims[key] = PendingClaim(requirements=requirements, evaluation=evaluation, host=host)
        try:
            yield
        finally:
            del self._claims[key]

    def snapshot(self) -> Mapping[object, PendingClaim]:
        """Returns the pending claims. Read this before the query and again after it, and use both.

        A claim that ended during the query may be invisible to it; one placed by the previous query may be registered
        only during this one. A claim that the query did see is then counted twice, which is harmless.
        """
        return dict(self._claims)

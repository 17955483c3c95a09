"""When a compose is rescheduled, and what it undoes before; collaborators are doubles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any
from uuid import UUID

import pytest
from attrs import define, evolve, field

from common.errors import (
    Cancelled,
    DriverFailed,
    HostUnreachable,
    InnkeeperError,
    NoneAvailable,
    OutOfCapacity,
    RackUnreachable,
)
from common.guests.compose_request import ComposeRequest
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.serialization import to_dict
from common.values import OwnershipMarker
from common.words.operation_kinds import OperationKind
from regiond.maas.bridge.registrations import Registrations
from regiond.machines.arrivals.clones.steps import GuestCopies
from regiond.machines.arrivals.compose.rescheduling import RescheduleOptions, Rescheduler
from regiond.machines.arrivals.compose.steps import FAILURES_BEFORE_RESCHEDULING, MAX_HOSTS, ComposeMachine
from regiond.machines.arrivals.transfer.import_steps import ImportedDisks
from regiond.machines.values.requests import ComposeIntent
from regiond.operations.attempt import Attempt
from regiond.operations.model import Operation, OperationState
from regiond.placement.checks import Check, Failure
from regiond.placement.model import Evaluation, Placement
from regiond.racks.calls.host_calls import HostCalls
from tests.doubles.signatures import in_place_of
from tests.unit.support.api_double import result_of
from tests.unit.support.api_samples import AT
from tests.unit.support.host_samples import HOST

SPEC = GuestSpec(
    name="web-1", marker=OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2)), architecture="amd64",
    cores=1, memory_mib=1024, disks=(DiskSpec(volume="v0", pool_id="default", size_bytes=1, serial="s"),),
)  # fmt: skip
OPERATION = Operation(
    id=77, kind=OperationKind.COMPOSE, state=OperationState.RUNNING, host_id=4, host_name="hv-01", machine_id=9,
    system_id="wdpx3n", hostname="web-1", parent_id=None, account_id=1, created_at=AT, max_failures=120,
    request={"spec": to_dict(SPEC), "intent": to_dict(ComposeIntent(request=ComposeRequest()))}, explanation={},
)  # fmt: skip
TRIED_ENOUGH = evolve(OPERATION, failures=FAILURES_BEFORE_RESCHEDULING)
NAMED = evolve(OPERATION, request={"spec": to_dict(SPEC)})
ALLOCATED = evolve(
    OPERATION,
    request={"spec": to_dict(SPEC), "intent": to_dict(ComposeIntent(request=ComposeRequest(), agent_name="juju"))},
)
LACKING = Evaluation(
    host_id=6,
    host_name="hv-03",
    failures=(
        Failure(Check.CORES, "needs 1 core, 0 free (4 cores × ratio 1.0, 4 used)"),
        Failure(Check.MEMORY, "memory: …"),
    ),
)


def tried_hosts(number: int) -> dict[str, list[dict[str, object]]]:
    return {"tried": [{"host": f"h{n}", "host_id": n, "error": "x"} for n in range(number)]}


def options(*alternatives: Any) -> RescheduleOptions:
    return RescheduleOptions(
        placement=Placement(ranked=(), rejected=(LACKING,), summarized={"being removed": 3}), alternatives=alternatives
    )


@define
class Host:
    """Fails every call with `error`, offers the options `found` for rescheduling, and records the journal's steps."""

    error: InnkeeperError
    found: RescheduleOptions | InnkeeperError | None = field(factory=lambda: options("another"))
    steps: list[str] = field(factory=list)
    frozen: list[tuple[str, ...]] = field(factory=list)  # the racks that do not answer, each time they are asked
    removes: bool = False

    async def call(self, *_: Any, **__: Any) -> Any:
        self.steps.append("call")
        if not self.removes:
            raise self.error

    async def racks_with_older_calls(self, *_: Any, **__: Any) -> tuple[str, ...]:
        return self.frozen.pop(0) if self.frozen else ()

    async def find_options(self, _: Operation, tried: Collection[int]) -> RescheduleOptions | None:
        if isinstance(self.found, InnkeeperError):
            raise self.found
        return self.found

    async def reschedule(self, *_: Any) -> Any:
        return HOST

    async def host_not_reached(self) -> None:
        self.steps.append("host_not_reached")

    async def step(self, name: str, **_: Any) -> None:
        self.steps.append(name)

    async def write(self, name: str, _: Callable[[Any], Awaitable[None]]) -> None:
        self.steps.append(name)

    async def note(self, _: str, **__: Any) -> None:
        self.steps.append("note")

    def work(self) -> ComposeMachine:
        return ComposeMachine(
            in_place_of(HostCalls, self),
            in_place_of(Rescheduler, self),
            in_place_of(GuestCopies, self),
            in_place_of(ImportedDisks, self),
            in_place_of(Registrations, self),
        )

    def run(self, operation: Operation) -> Any:
        return result_of(self.work().run(operation, in_place_of(Attempt, self)))

    def undo(self, operation: Operation, **failed: Any) -> Any:
        recorded: Mapping[str, Any] = {"error_code": self.error.code, "error_message": self.error.message, **failed}
        return result_of(
            self.work().undo(evolve(operation, state=OperationState.UNDOING, **recorded), in_place_of(Attempt, self))
        )


@pytest.mark.parametrize(
    ("operation", "error", "reverted"),
    [
        (OPERATION, HostUnreachable("no route", nothing_began=True), True),
        (OPERATION, RackUnreachable("no rack"), True),
        (OPERATION, HostUnreachable("lost midway"), False),
        (OPERATION, HostUnreachable("no route", nothing_began=False), False),
        (evolve(OPERATION, reached_host=True), HostUnreachable("no route", nothing_began=True), False),
    ],
)
def test_a_host_on_which_nothing_began_is_recorded_as_not_reached(
    operation: Operation, error: InnkeeperError, reverted: bool
) -> None:
    host = Host(error)
    with pytest.raises(type(error)) as raised:
        host.run(operation)
    assert host.steps == ["compose_on_host", "call", *(["host_not_reached"] if reverted else [])]
    assert raised.value.details == {}


def test_an_unreachable_host_is_abandoned_if_there_is_an_alternative() -> None:
    host = Host(HostUnreachable("no route"))
    assert host.run(TRIED_ENOUGH).rejection is host.error


@pytest.mark.parametrize(
    ("operation", "found"),
    [
        (evolve(OPERATION, failures=FAILURES_BEFORE_RESCHEDULING - 1), options("another")),
        (TRIED_ENOUGH, options()),
        (TRIED_ENOUGH, RackUnreachable("no rack")),
        (evolve(NAMED, failures=FAILURES_BEFORE_RESCHEDULING), None),
        (evolve(TRIED_ENOUGH, cancel_requested=True), options("another")),
        (evolve(TRIED_ENOUGH, explanation=tried_hosts(MAX_HOSTS - 1)), options("another")),
    ],
)
def test_without_an_alternative_the_call_is_retried(operation: Operation, found: Any) -> None:
    with pytest.raises(HostUnreachable):
        Host(HostUnreachable("no route"), found).run(operation)


@pytest.mark.parametrize("error", [DriverFailed("no pool"), HostUnreachable("no route")])
def test_a_guest_that_cannot_be_removed_does_not_stop_rescheduling(error: InnkeeperError) -> None:
    host = Host(error)
    outcome = host.undo(evolve(OPERATION, reached_host=True))
    assert outcome.rescheduled
    assert host.steps == ["remove_incomplete_guest", "call", "note", "release_claims"]
    assert "removed when the host is reachable" in outcome.undone[0]


def undone_with(*frozen: tuple[str, ...]) -> tuple[list[str], str]:
    """The journal's steps and what was undone of a named compose, with the racks that do not answer each time."""
    host = Host(DriverFailed("no pool"), frozen=list(frozen), removes=True)
    undone = host.undo(evolve(NAMED, reached_host=True)).undone
    return host.steps, "; ".join(undone)


def test_a_rack_that_may_still_create_the_guest_is_named() -> None:
    removed, ended = "guest and volumes removed from the host", "claims released; machine not composed"
    assert undone_with(()) == (["remove_incomplete_guest", "call"], f"{removed}; {ended}")
    pending = "Rack a may still create web-1: it is removed then"
    assert undone_with(("a",), ("a",)) == (["remove_incomplete_guest", "call"], f"{removed}; {pending}; {ended}")
    assert "One of the racks a, b may still" in undone_with(("a", "b"), ("a", "b"))[1]


def test_what_a_call_created_during_the_removal_is_removed_as_well() -> None:
    steps, undone = undone_with(("a",), ())
    assert steps == ["remove_incomplete_guest", "call", "call"]
    assert "may still" not in undone


@pytest.mark.parametrize("operation", [NAMED, evolve(OPERATION, cancel_requested=True)])
def test_a_named_or_cancelled_compose_is_never_rescheduled(operation: Operation) -> None:
    with pytest.raises(HostUnreachable):
        Host(HostUnreachable("no route")).undo(evolve(operation, reached_host=True))
    outcome = Host(DriverFailed("no pool")).undo(operation)
    assert (outcome.rescheduled, outcome.error) == (False, None)


@pytest.mark.parametrize("code", [Cancelled.code, "internal"])
def test_an_error_of_every_host_is_never_rescheduled(code: str) -> None:
    assert not Host(DriverFailed("x")).undo(OPERATION, error_code=code).rescheduled


def test_undoing_waits_for_racks_until_the_failures_run_out() -> None:
    host = Host(DriverFailed("no pool"), RackUnreachable("no rack"))
    with pytest.raises(RackUnreachable):
        host.undo(OPERATION)
    assert not host.undo(evolve(OPERATION, failures=120)).rescheduled


def test_the_final_error_has_the_reasons_of_all_hosts() -> None:
    tried = {"tried": [{"host": "hv-00", "host_id": 3, "error": "no network"}]}
    host = Host(OutOfCapacity("no pool"), options())
    error = host.undo(evolve(OPERATION, explanation=tried)).error
    assert isinstance(error, OutOfCapacity)
    assert error.message == (
        "web-1 could not be composed on any host. hv-00: no network | hv-01: no pool | "
        "hv-03: needs 1 core, 0 free (4 cores × ratio 1.0, 4 used) | 3 more: being removed"
    )
    assert host.undo(OPERATION).error is None
    allocated = host.undo(ALLOCATED).error
    assert isinstance(allocated, NoneAvailable)
    assert "none could be composed. hv-01: no pool | hv-03: needs" in allocated.message


def test_the_final_error_never_lists_a_fleet() -> None:
    many = tuple(evolve(LACKING, host_id=number, host_name=f"full-{number}") for number in range(10, 50))
    placement = Placement(ranked=(), rejected=many, summarized={"not enough free cores": 60, "being removed": 3})
    host = Host(OutOfCapacity("no pool"), RescheduleOptions(placement=placement, alternatives=()))
    error = host.undo(evolve(OPERATION, explanation=tried_hosts(1))).error
    assert error is not None
    assert error.message.endswith("hv-01: no pool | 100 more: not enough free cores | 3 more: being removed")


def test_a_compose_tries_at_most_the_limit_of_hosts() -> None:
    for hosts, rescheduled in ((MAX_HOSTS - 1, False), (MAX_HOSTS - 2, True)):
        undone = Host(DriverFailed("no pool")).undo(evolve(OPERATION, explanation=tried_hosts(hosts)))
        assert undone.rescheduled is rescheduled

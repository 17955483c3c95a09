"""When a compose leaves a host, and what it leaves behind there; collaborators are doubles."""

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
from common.values import DiskSpec, GuestSpec, Mark
from common.wire import to_plain
from regiond.machines.compose_steps import MAX_HOSTS, PATIENCE, ComposeMachine
from regiond.machines.model import ComposeRequest, Intent
from regiond.machines.moving import NextHosts
from regiond.operations.model import Operation, OperationKind, OperationState
from regiond.placement.model import Placement, Verdict, Wish
from tests.unit.api_double import at_once
from tests.unit.api_samples import AT, HOST

SPEC = GuestSpec(
    name="web-1", mark=Mark(installation_id=UUID(int=1), machine_id=UUID(int=2)), architecture="amd64", cores=1,
    memory_mib=1024, disks=(DiskSpec(volume="v0", pool_id="default", size_bytes=1, serial="s"),),
)  # fmt: skip
OPERATION = Operation(
    id=77, kind=OperationKind.COMPOSE, state=OperationState.RUNNING, host_id=4, host_name="hv-01", machine_id=9,
    system_id="wdpx3n", hostname="web-1", parent_id=None, account_id=1, created_at=AT, max_failures=120,
    request={"spec": to_plain(SPEC), "intent": to_plain(Intent(request=ComposeRequest()))}, explanation={},
)  # fmt: skip
NAMED = evolve(OPERATION, request={"spec": to_plain(SPEC)})
ALLOCATED = evolve(
    OPERATION,
    request={"spec": to_plain(SPEC), "intent": to_plain(Intent(request=ComposeRequest(), agent_name="juju"))},
)
LACKING = Verdict(host_id=6, host_name="hv-03", reasons=("cores: 1 asked, 0 of 4 × 1.0 = 4 left", "memory: …"))


def next_hosts(*alternatives: Any) -> NextHosts:
    return NextHosts(
        intent=Intent(request=ComposeRequest()),
        wish=Wish(cores=1, memory_mib=1024, disks=()),
        placement=Placement(order=(), refused=(LACKING,), left_out={"being removed": 3}),
        alternatives=alternatives,
    )


@define
class Host:
    """Calls to a host that fail with this; the mover that knows of others; the journal that keeps the steps."""

    error: InnkeeperError
    found: NextHosts | InnkeeperError | None = field(factory=lambda: next_hosts("another"))
    steps: list[str] = field(factory=list)

    async def call(self, *_: Any, **__: Any) -> Any:
        raise self.error

    async def next_hosts(self, _: Operation, tried: Collection[int]) -> NextHosts | None:
        if isinstance(self.found, InnkeeperError):
            raise self.found
        return self.found

    async def move(self, *_: Any) -> Any:
        return HOST

    async def step(self, name: str, **_: Any) -> None:
        self.steps.append(name)

    async def write(self, name: str, _: Callable[[Any], Awaitable[None]]) -> None:
        self.steps.append(name)

    async def note(self, _: str, **__: Any) -> None:
        self.steps.append("note")

    def work(self) -> ComposeMachine:
        double: Any = self
        return ComposeMachine(double, double)

    def run(self, operation: Operation) -> Any:
        journal: Any = self
        return at_once(self.work().run(operation, journal))

    def undo(self, operation: Operation, **failed: Any) -> Any:
        journal: Any = self
        told: Mapping[str, Any] = {"error_code": self.error.code, "error_message": self.error.message, **failed}
        return at_once(self.work().undo(evolve(operation, state=OperationState.UNDOING, **told), journal))


def test_a_host_that_cannot_be_reached_is_left_after_a_while_when_another_would_do() -> None:
    host = Host(HostUnreachable("gone"))
    assert host.run(evolve(OPERATION, failures=PATIENCE)).refused is host.error


@pytest.mark.parametrize(
    ("operation", "found"),
    [
        (evolve(OPERATION, failures=PATIENCE - 1), next_hosts("another")),
        (evolve(OPERATION, failures=PATIENCE), next_hosts()),
        (evolve(OPERATION, failures=PATIENCE), RackUnreachable("no rack")),
        (evolve(NAMED, failures=PATIENCE), None),
        (evolve(OPERATION, failures=PATIENCE, cancel_requested=True), next_hosts("another")),
        (
            evolve(OPERATION, failures=PATIENCE, explanation={"tried": [{"host_id": n} for n in range(MAX_HOSTS - 1)]}),
            next_hosts("another"),
        ),
    ],
)
def test_else_it_is_waited_for(operation: Operation, found: Any) -> None:
    with pytest.raises(HostUnreachable):
        Host(HostUnreachable("gone"), found).run(operation)


@pytest.mark.parametrize("error", [DriverFailed("no pool"), HostUnreachable("gone")])
def test_what_cannot_be_removed_now_is_removed_later_and_the_machine_goes_on(error: InnkeeperError) -> None:
    host = Host(error)
    outcome = host.undo(evolve(OPERATION, reached_host=True))
    assert outcome.sent_on
    assert host.steps == ["remove_half_made_guest", "note", "give_back_claims"]
    assert "removed when the host can be had" in outcome.undone[0]


@pytest.mark.parametrize("operation", [NAMED, evolve(OPERATION, cancel_requested=True)])
def test_a_named_host_or_a_cancelled_compose_is_undone_where_it_is(operation: Operation) -> None:
    with pytest.raises(HostUnreachable):
        Host(HostUnreachable("gone")).undo(evolve(operation, reached_host=True))
    outcome = Host(DriverFailed("no pool")).undo(operation)
    assert (outcome.sent_on, outcome.error) == (False, None)


@pytest.mark.parametrize("code", [Cancelled.code, "internal"])
def test_what_would_be_the_same_on_any_host_goes_nowhere(code: str) -> None:
    assert not Host(DriverFailed("x")).undo(OPERATION, error_code=code).sent_on


def test_racks_that_are_not_back_yet_are_waited_for_but_not_for_ever() -> None:
    host = Host(DriverFailed("no pool"), RackUnreachable("no rack"))
    with pytest.raises(RackUnreachable):
        host.undo(OPERATION)
    assert not host.undo(evolve(OPERATION, failures=120)).sent_on


def test_when_no_host_is_left_all_reasons_are_told() -> None:
    tried = {"tried": [{"host": "hv-00", "host_id": 3, "error": "no network"}]}
    host = Host(OutOfCapacity("no pool"), next_hosts())
    error = host.undo(evolve(OPERATION, explanation=tried)).error
    assert isinstance(error, OutOfCapacity)
    assert error.message == (
        "web-1 could not be composed on any host. hv-00: no network | hv-01: no pool | "
        "hv-03: cores: 1 asked, 0 of 4 × 1.0 = 4 left | 3 more: being removed"
    )
    assert host.undo(OPERATION).error is None
    allocated = host.undo(ALLOCATED).error
    assert isinstance(allocated, NoneAvailable)
    assert "none could be composed. hv-01: no pool | hv-03: cores" in allocated.message


def test_no_more_hosts_are_tried_than_the_limit() -> None:
    tried = {"tried": [{"host": f"h{n}", "host_id": n, "error": "x"} for n in range(MAX_HOSTS - 1)]}
    assert not Host(DriverFailed("no pool")).undo(evolve(OPERATION, explanation=tried)).sent_on
    tried = {"tried": tried["tried"][1:]}
    assert Host(DriverFailed("no pool")).undo(evolve(OPERATION, explanation=tried)).sent_on

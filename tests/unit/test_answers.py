"""Which answers of a rack cannot be the answer to what it was asked."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from common.rpc.commands import ComposeCall, Fence, FoundGuest, GuestCall, HostCall, MarkCall, Reached
from common.seldom import Seldom
from common.values import DriverType, Guest, GuestSpec, HostAccess, Mark, PowerState
from regiond.racks.answers import wrong_answer

INSTALLATION = uuid4()
MARK = Mark(installation_id=INSTALLATION, machine_id=uuid4())
OTHER = evolve(MARK, machine_id=uuid4())
ACCESS = HostAccess(host_id=1, driver=DriverType.SIMULATED, address="simulated:a", installation_id=INSTALLATION)
SPEC = GuestSpec(name="inn", mark=MARK, architecture="amd64", cores=2, memory_mib=2048, disks=())
FENCE = Fence(machine_id=str(MARK.machine_id), operation_id=1, attempt=1)
COMPOSE = ComposeCall(access=ACCESS, spec=SPEC, fence=FENCE)
ADOPT = MarkCall(access=ACCESS, guest_id="7", guest_name="inn", mark=MARK, fence=FENCE)
FIND = GuestCall(access=ACCESS, guest=SPEC.ref)
TRUE = Guest(name="inn", guest_id="7", power=PowerState.ON, cores=2, memory_mib=2048, mark=MARK)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (COMPOSE, TRUE),
        (COMPOSE, evolve(TRUE, name="renamed")),
        (COMPOSE, evolve(TRUE, cores=0)),
        (ADOPT, TRUE),
        (FIND, FoundGuest(guest=TRUE)),
        (FIND, FoundGuest(guest=None)),
        (HostCall(access=ACCESS), Reached(hypervisor_version="1.0")),
    ],
)
def test_what_may_be_true_is_believed(asked: Any, answer: Any) -> None:
    assert wrong_answer(asked, answer) is None


@pytest.mark.parametrize(
    ("asked", "answer", "told"),
    [
        (COMPOSE, evolve(TRUE, mark=OTHER), f"is marked as machine {OTHER.machine_id}"),
        (COMPOSE, evolve(TRUE, mark=None), "carries no mark of ours"),
        (COMPOSE, evolve(TRUE, cores=4), "has 4 cores and 2048 MiB, and it was asked for 2 cores and 2048 MiB"),
        (COMPOSE, evolve(TRUE, memory_mib=1), "has 2 cores and 1 MiB"),
        (ADOPT, evolve(TRUE, mark=OTHER), "is marked as"),
        (ADOPT, evolve(TRUE, guest_id="8"), "tells of guest '8', and was asked about '7'"),
        (FIND, FoundGuest(guest=evolve(TRUE, mark=evolve(MARK, installation_id=uuid4()))), "is marked as"),
    ],
)
def test_another_machine_guest_or_size_is_not(asked: Any, answer: Any, told: str) -> None:
    assert told in (wrong_answer(asked, answer) or "")


def test_the_same_is_told_once_in_a_while_and_what_is_remembered_has_an_end() -> None:
    now = [0.0]
    seldom = Seldom(every_s=60.0, size=2, clock=lambda: now[0])
    assert [seldom.may("a"), seldom.may("a"), seldom.may("b")] == [True, False, True]
    now[0] = 60.0
    assert [seldom.may("a"), seldom.may("a")] == [True, False]
    assert [seldom.may("c"), seldom.may("d"), seldom.may("a")] == [True, True, True]

"""The table of a machine's life: what may happen, what may not, and that nothing is a dead end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import WrongState
from regiond.machines.life import LAST, NEXT, TOLD, Event, MachineState, back, fixed, found, move

BORN = (MachineState.COMPOSING, MachineState.ADOPTING)


@pytest.mark.parametrize(("state", "event"), list(product(MachineState, Event)))
def test_a_move_is_in_the_table_or_is_refused_with_what_would_help(state: MachineState, event: Event) -> None:
    if (state, event) in NEXT:
        assert move(state, event) is NEXT[state, event]
        return
    with pytest.raises(WrongState, match=f"A machine that is {TOLD[state].name} cannot be .+: .+\\.") as refused:
        move(state, event)
    assert refused.value.details == {"state": state.value}


@given(st.sampled_from(BORN), st.lists(st.sampled_from(Event), max_size=40))
def test_whatever_happens_an_owner_is_there_only_between_allocation_and_release(
    born: MachineState, events: Sequence[Event]
) -> None:
    state, owned = born, False
    for event in events:
        if event in (Event.FOUND, Event.FIXED, Event.KEPT) and owned:
            event = Event(f"{event.value}_owned")  # noqa: PLW2901  # what the services ask for of a machine with an owner
        elif event.value.endswith("_owned") and not owned:
            continue
        if (state, event) not in NEXT:
            continue
        if state is MachineState.RELEASING and event is Event.RELEASE_FAILED and not owned:
            continue  # only what has an owner is released
        if event is Event.RELEASE and not owned:
            continue
        state = move(state, event)
        owned = (owned or event is Event.ALLOCATED) and event is not Event.RELEASED
        assert (state is MachineState.ALLOCATED) <= owned
        assert (state is MachineState.READY) <= (not owned)


def test_every_state_is_reached_and_has_a_way_out() -> None:
    reached = set(BORN)
    while more := {after for (before, _), after in NEXT.items() if before in reached} - reached:
        reached |= more
    assert reached == set(MachineState)
    for state in MachineState:
        assert any(before is state and after is not state for (before, _), after in NEXT.items()), state


def test_from_every_state_a_machine_can_become_ready_and_can_go() -> None:
    def leads_to(wanted: set[MachineState]) -> set[MachineState]:
        good = set(wanted)
        while more := {before for (before, _), after in NEXT.items() if after in good} - good:
            good |= more
        return good

    assert leads_to({MachineState.READY}) == set(MachineState)
    assert leads_to(set(LAST)) == set(MachineState)


def test_clients_know_every_number_and_word() -> None:
    known = {0: "New", 1: "Commissioning", 2: "Failed commissioning", 3: "Missing", 4: "Ready", 8: "Broken"}
    known |= {10: "Allocated", 12: "Releasing"}
    assert set(TOLD) == set(MachineState)
    assert {told.status: told.name for told in TOLD.values()} == known


def test_what_comes_back_is_what_it_was() -> None:
    assert move(MachineState.MISSING, found(owned=True)) is MachineState.ALLOCATED
    assert move(MachineState.MISSING, found(owned=False)) is MachineState.READY
    assert back(MachineState.ALLOCATED, owned=True) is MachineState.ALLOCATED
    assert back(MachineState.ALLOCATED, owned=False) is MachineState.READY
    assert back(MachineState.BROKEN, owned=True) is MachineState.BROKEN
    assert move(MachineState.BROKEN, fixed(owned=True, seen=True)) is MachineState.ALLOCATED
    assert move(MachineState.BROKEN, fixed(owned=False, seen=True)) is MachineState.READY
    assert move(MachineState.BROKEN, fixed(owned=True, seen=False)) is MachineState.NEW

"""The lifecycle table: allowed and rejected transitions; no state is a dead end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from common.errors import WrongState
from regiond.machines.values.lifecycle import (
    NEXT,
    MachineEvent,
    fixed_event,
    found_event,
    next_state,
    not_removed_events,
    restored_state,
)
from regiond.machines.values.states import MAAS_STATUS, TRANSIENT, MachineState

ENDS_WITH_ITS_ROW = {MachineState.FAILED_COMPOSE}  # no operation deletes it: it has nothing on a host
INITIAL = (MachineState.COMPOSING, MachineState.ADOPTING)
_E = MachineEvent
# Services choose the event by the owner.
_WITHOUT_OWNER_ONLY = {_E.FOUND, _E.FIXED, _E.NOT_DELETED, _E.ADOPTED_READY}
_WITH_OWNER_ONLY = {
    _E.FOUND_OWNED, _E.FIXED_OWNED, _E.NOT_DELETED_OWNED,
    _E.RELEASE, _E.RELEASE_FAILED,  # without owner it is as found, and is deployed again at once if that fails
    _E.REBUILD,  # without owner it was adopted with its system, and nothing writes over its root disk
}  # fmt: skip


@pytest.mark.parametrize(("state", "event"), list(product(MachineState, MachineEvent)))
def test_a_transition_outside_the_table_is_rejected_with_help(state: MachineState, event: MachineEvent) -> None:
    if (state, event) in NEXT:
        assert next_state(state, event) is NEXT[state, event]
        return
    with pytest.raises(
        WrongState, match=f"A machine that is {MAAS_STATUS[state].name} cannot be .+: .+\\."
    ) as rejected:
        next_state(state, event)
    assert rejected.value.details == {"state": state.value}


def test_only_allocated_states_have_an_owner() -> None:
    reached = {(state, False) for state in INITIAL}
    while added := {after for state, owned in reached for after in _after(state, owned=owned)} - reached:
        reached |= added
    assert (MachineState.ALLOCATED, True) in reached
    assert (MachineState.READY, False) in reached
    assert (MachineState.ALLOCATED, False) not in reached
    assert (MachineState.READY, True) not in reached


def _after(state: MachineState, *, owned: bool) -> Iterator[tuple[MachineState, bool]]:
    """Every state, and whether the machine has an owner, that an event of this state leads to as services allow it."""
    for event in MachineEvent:
        if (state, event) not in NEXT or event in (_WITHOUT_OWNER_ONLY if owned else _WITH_OWNER_ONLY):
            continue
        # An import adopts a machine as allocated if it brings the owner, which the machine has from its beginning.
        begins = event in (_E.ALLOCATED, _E.ADOPTED_ALLOCATED)
        yield next_state(state, event), (owned or begins) and event is not _E.RELEASED


def test_every_state_is_reachable_and_can_be_left() -> None:
    reached = set(INITIAL)
    while added := {after for (before, _), after in NEXT.items() if before in reached} - reached:
        reached |= added
    assert reached == set(MachineState)
    for state in set(MachineState) - ENDS_WITH_ITS_ROW:
        assert any(before is state and after is not state for (before, _), after in NEXT.items()), state


def test_every_state_leads_to_ready_and_to_removal() -> None:
    def leads_to(wanted: set[MachineState]) -> set[MachineState]:
        found = set(wanted)
        while added := {before for (before, _), after in NEXT.items() if after in found} - found:
            found |= added
        return found

    assert leads_to({MachineState.READY}) == set(MachineState) - ENDS_WITH_ITS_ROW
    assert leads_to(set(TRANSIENT)) == set(MachineState) - ENDS_WITH_ITS_ROW


def test_every_status_is_one_of_maas() -> None:
    known = {0: "New", 1: "Commissioning", 2: "Failed commissioning", 3: "Missing", 4: "Ready", 8: "Broken"}
    known |= {6: "Deployed", 9: "Deploying", 10: "Allocated", 11: "Failed deployment", 12: "Releasing"}
    assert set(MAAS_STATUS) == set(MachineState)
    assert {status.status: status.name for status in MAAS_STATUS.values()} == known


def test_a_machine_found_again_gets_its_former_state() -> None:
    assert next_state(MachineState.MISSING, found_event(owned=True)) is MachineState.ALLOCATED
    assert next_state(MachineState.MISSING, found_event(owned=False)) is MachineState.READY
    assert restored_state(MachineState.ALLOCATED, owned=True) is MachineState.ALLOCATED
    assert restored_state(MachineState.ALLOCATED, owned=False) is MachineState.READY
    assert restored_state(MachineState.DEPLOYED, owned=True) is MachineState.DEPLOYED
    assert restored_state(MachineState.BROKEN, owned=True) is MachineState.BROKEN
    assert next_state(MachineState.BROKEN, fixed_event(owned=True, listed=True)) is MachineState.ALLOCATED
    assert next_state(MachineState.BROKEN, fixed_event(owned=False, listed=True)) is MachineState.READY
    assert next_state(MachineState.BROKEN, fixed_event(owned=True, listed=False)) is MachineState.NEW


OWNED = (MachineState.ALLOCATED, MachineState.DEPLOYED, MachineState.FAILED_DEPLOYMENT)
REMOVALS = [(was, event) for was, event in NEXT if event in (MachineEvent.DELETE, MachineEvent.RELEASE)]


@pytest.mark.parametrize(("was", "removal"), REMOVALS)
def test_a_cancelled_removal_leads_back_to_the_state_before(was: MachineState, removal: MachineEvent) -> None:
    owned = was in OWNED or removal is MachineEvent.RELEASE
    state = next_state(was, removal)
    for event in not_removed_events(state, owned=owned, cancelled=True, was=was):
        state = next_state(state, event)
    assert state is was


def test_a_release_that_could_not_destroy_leaves_a_failed_machine() -> None:
    events = not_removed_events(MachineState.RELEASING, owned=True, cancelled=False, was=MachineState.ALLOCATED)
    assert events == (MachineEvent.NOT_DESTROYED,)

"""Which VMs a bulk action changes, and why it leaves the others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from regiond.groups.model import ResourcePool, Zone
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import TRANSIENT, MachineState
from regiond.requests.caller import Caller, PoolRole
from regiond.ui.machines.bulk.bulk_actions import ACTIONS, offered, split

ADMIN = Caller(account_id=1, username="mira", is_admin=True)
OPERATOR = Caller(account_id=2, username="olof", is_admin=False, grants={1: PoolRole.OPERATOR})
VIEWER = Caller(account_id=3, username="vera", is_admin=False, grants={1: PoolRole.VIEWER})


def machine(name: str, **changes: Any) -> MachineView:
    values: dict[str, Any] = {
        "id": 1, "uuid": uuid4(), "system_id": f"id-{name}", "hostname": name, "state": MachineState.READY,
        "power_state": "off", "architecture": "amd64/generic", "cores": 1, "memory_mib": 1024, "tags": (),
        "pool": ResourcePool(id=1, name="default", description=""),
        "zone": Zone(id=1, name="default", description=""), "owner": None, "description": "", "host_id": 1,
        "host_name": "alder", "host_system_id": "hhhhhh", "driver": "simulated", "guest_id": None,
        "created_at": datetime.now(UTC),
    }  # fmt: skip
    return MachineView(**{**values, **changes})


def left(key: str, *machines: MachineView, caller: Caller = ADMIN) -> dict[str, str]:
    found = split(ACTIONS[key], machines, caller)
    return {one.hostname: part.reason for part in found.left for one in part.machines}


def test_what_is_in_the_wanted_power_state_is_left() -> None:
    on, off = machine("on", power_state="on"), machine("off")
    assert left("start", on, off) == {"on": "running already"}
    assert left("stop", on, off) == {"off": "off already"}
    assert left("restart", on, off) == {"off": "off: start them instead"}


def test_an_unknown_power_state_may_be_changed_both_ways() -> None:
    unknown = machine("unknown", power_state="unknown")
    assert left("start", unknown) == left("stop", unknown) == {}


def test_a_locked_machine_is_left_by_all_but_unlock() -> None:
    locked = machine("kept", locked=True, owner="mira", state=MachineState.DEPLOYED)
    for key in ("delete", "release", "start", "place", "resize", "disk", "nic", "boot"):
        assert left(key, locked) == {"kept": "locked: unlock them first"}, key
    assert left("lock", locked) == {"kept": "locked already"}
    assert left("unlock", locked) == {}


def test_an_operator_changes_own_machines_only() -> None:
    of_olof, of_mira = machine("own", owner="olof"), machine("other", owner="mira")
    made = machine("made", composed_by="olof")
    for key in ("resize", "disk", "nic", "boot"):
        refused = left(key, machine("stock", is_stock=True), of_olof, made, of_mira, caller=OPERATOR)
        assert refused == {"stock": "not yours", "other": "not yours"}
        assert left(key, machine("free"), caller=VIEWER) == {"free": "not yours"}
        assert left(key, machine("lost", host_id=None)) == {"lost": "on no host"}


def test_machines_are_locked_in_every_state() -> None:
    assert left("lock", *(machine(state.value, state=state) for state in MachineState if state not in TRANSIENT)) == {}


def test_only_allocated_machines_are_released() -> None:
    allocated = machine("mine", owner="mira", state=MachineState.ALLOCATED)
    assert left("release", allocated, machine("free")) == {"free": "not allocated"}


def test_an_adopted_machine_is_released_by_itself_only() -> None:
    found = machine("mail", owner="mira", state=MachineState.DEPLOYED, adopted=True, as_found=True)
    assert left("release", found) == {"mail": "adopted: release such a VM by itself, on its page"}


def test_what_an_operation_acts_on_is_left() -> None:
    assert left("delete", machine("new", state=MachineState.COMPOSING)) == {
        "new": "being composed: wait until that has ended"
    }


def test_somebody_else_s_machines_are_left() -> None:
    mine, other = machine("mine", composed_by="olof"), machine("other", owner="mira")
    assert left("start", mine, other, caller=OPERATOR) == {"other": "not yours"}


def test_a_viewer_is_offered_nothing_and_an_operator_no_groups() -> None:
    assert offered(VIEWER) == ()
    assert ACTIONS["place"] not in offered(OPERATOR)
    assert ACTIONS["place"] in offered(ADMIN)


def test_a_start_that_leaves_nothing_needs_no_confirmation() -> None:
    assert not split(ACTIONS["start"], [machine("off")], ADMIN).needs_confirmation
    assert split(ACTIONS["start"], [machine("off"), machine("on", power_state="on")], ADMIN).needs_confirmation
    assert split(ACTIONS["delete"], [machine("off")], ADMIN).needs_confirmation


MACHINES = st.lists(
    st.builds(
        machine,
        name=st.text("abc", min_size=1, max_size=6),
        state=st.sampled_from(MachineState),
        power_state=st.sampled_from(["on", "off", "unknown"]),
        locked=st.booleans(),
        owner=st.sampled_from([None, "mira", "olof"]),
        host_id=st.sampled_from([None, 1]),
    ),
    max_size=8,
)


@given(machines=MACHINES, key=st.sampled_from(sorted(ACTIONS)), caller=st.sampled_from([ADMIN, OPERATOR, VIEWER]))
def test_every_selected_machine_is_in_one_part(machines: list[MachineView], key: str, caller: Caller) -> None:
    found = split(ACTIONS[key], machines, caller)
    parts = [*found.changed, *(one for part in found.left for one in part.machines)]
    assert sorted(one.uuid for one in parts) == sorted(one.uuid for one in machines)
    assert found.total == len(machines)

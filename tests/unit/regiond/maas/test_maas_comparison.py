"""The comparison of what a watched MAAS says with what its hosts report, and which choices count again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attrs import evolve

from common.maas.inventory import Host, Inventory, LeftOut, Machine, Nic, Origin, SourceKind, User
from common.maas.pinning import known_pins
from regiond.maas.imports.plan import kept_choices, make_plan
from regiond.maas.imports.region_state import KnownUser, RegionState
from regiond.maas.parallel.comparison import SeenHost, SeenVm, compare, presence_of
from regiond.maas.parallel.model import Difference, DifferenceKind

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
WEB = Machine(
    system_id="abc", hostname="web", host_id="7", instance="web", status=6, power_state="on", cores=2, memory_mib=2048,
    nics=(Nic(name="eth0", mac_address=MAC),),
)  # fmt: skip
VM = SeenVm(
    name="web", guest_key="uuid-1", power_state="on", cores=2, memory_mib=2048, mac_addresses=frozenset({MAC})
)  # fmt: skip


def inventory(*machines: Machine, **more: Any) -> Inventory:
    origin = Origin(kind=SourceKind.API, label="http://maas.example.com:5240/MAAS")
    return Inventory(origin=origin, machines=machines, **more)


def found(machine: Machine | None, *vms: SeenVm, problem: str = "") -> list[tuple[str, str, str, str]]:
    machines = () if machine is None else (machine,)
    host = SeenHost(host_id=3, problem=problem, vms=vms)
    return [(one.vm, one.kind.value, one.in_maas, one.here) for one in compare(inventory(*machines), {"7": host})]


def test_a_difference_is_part_of_a_sentence() -> None:
    one = Difference(
        host_id=3, host_name="hv", vm="web", kind=DifferenceKind.CORES, in_maas="2", here="4",
        since=datetime(2026, 11, 27, tzinfo=UTC),
    )  # fmt: skip
    assert str(one) == "web: cores, in MAAS 2, here 4"
    not_ready = evolve(one, vm="", kind=DifferenceKind.HOST_NOT_READY, in_maas="", here="LXD does not answer.")
    assert str(not_ready) == "hv: host_not_ready, in MAAS none, here LXD does not answer"


def test_what_is_the_same_is_no_difference() -> None:
    assert found(WEB, VM) == []
    assert found(evolve(WEB, instance="uuid-1"), VM) == []


def test_what_one_side_does_not_know_is_no_difference() -> None:
    assert found(evolve(WEB, power_state="unknown", cores=0, memory_mib=0), VM) == []
    assert found(evolve(WEB, power_state="error"), VM) == []
    assert found(WEB, evolve(VM, power_state="unknown", cores=0, memory_mib=0)) == []
    assert found(WEB, evolve(VM, power_state="paused")) == []


def test_each_value_that_differs_is_a_difference() -> None:
    vm = evolve(VM, power_state="off", cores=3, memory_mib=4096, mac_addresses=frozenset({OTHER}))
    assert found(WEB, vm) == [
        ("web", "cores", "2", "3"),
        ("web", "mac_addresses", MAC, OTHER),
        ("web", "memory", "2048", "4096"),
        ("web", "power_state", "on", "off"),
    ]
    assert found(WEB, evolve(VM, mac_addresses=frozenset())) == [("web", "mac_addresses", MAC, "none")]


def test_pinned_cores_and_huge_pages_are_compared_where_maas_knows_them() -> None:
    pinned = evolve(WEB, pinned_cores=(8, 1), huge_pages=True)
    host = SeenHost(host_id=3, problem="", vms=(VM,), node_of={1: 0, 8: 1})
    differences = compare(inventory(pinned), {"7": host})
    assert [(one.kind.value, one.in_maas, one.here) for one in differences] == [
        ("huge_pages", "yes", "no"), ("pinned_cores", "1, 8 (NUMA nodes 0, 1)", "none"),
    ]  # fmt: skip
    same = evolve(VM, pinned_cores=frozenset({1, 8}), huge_pages=True)
    assert found(pinned, same) == []
    assert found(WEB, same) == []
    assert found(evolve(WEB, pinned_cores=(), huge_pages=False), same) == [
        ("web", "huge_pages", "no", "yes"), ("web", "pinned_cores", "none", "1, 8"),
    ]  # fmt: skip


def test_of_libvirt_maas_knows_no_pins() -> None:
    assert known_pins("lxd", (), huge_pages=False) == ((), False)
    assert known_pins("virsh", (), huge_pages=False) == (None, None)
    assert known_pins("virsh", (1,), huge_pages=True) == ((1,), True)


def test_a_vm_that_only_one_side_has_is_a_difference() -> None:
    assert found(WEB) == [("web", "only_in_maas", "machine web", "")]
    assert found(None, VM) == [("web", "only_on_host", "", "VM web")]


def test_a_host_that_cannot_be_asked_is_one_difference() -> None:
    assert found(WEB, problem="no route") == [("", "host_not_ready", "", "no route")]


def test_a_machine_on_which_maas_is_at_work_is_a_difference() -> None:
    deploying = evolve(WEB, status=9)
    assert found(deploying, VM) == [("web", "in_motion", "Deploying", "")]
    assert found(deploying, problem="no route") == [
        ("", "host_not_ready", "", "no route"), ("web", "in_motion", "Deploying", ""),
    ]  # fmt: skip


A, B = (
    SeenHost(host_id=number, name=name, problem="", vms=(), group=(1, "maas")) for number, name in ((3, "a"), (4, "b"))
)


def seen(machine: Machine, **hosts: SeenHost) -> list[tuple[int, str, str, str, str]]:
    """The differences of hosts by their ids in MAAS, given as `h7=`."""
    found = compare(inventory(machine), {name.removeprefix("h"): host for name, host in hosts.items()})
    return [(one.host_id, one.vm, one.kind.value, one.in_maas, one.here) for one in found]


def test_a_vm_that_moved_inside_its_cluster_is_one_difference() -> None:
    moved = evolve(B, vms=(VM,))
    assert seen(WEB, h7=A, h8=moved) == [(3, "web", "moved", "a", "b")]
    assert seen(WEB, h7=A, h8=evolve(B, vms=(evolve(VM, cores=3),)))[0] == (3, "web", "cores", "2", "3")
    assert seen(WEB, h7=A, h8=evolve(moved, taken=True)) == [(3, "web", "moved", "a", "b")]
    assert seen(WEB, h7=evolve(A, taken=True), h8=moved) == []
    for group in (None, (2, "maas"), (1, "other")):
        assert [one[2] for one in seen(WEB, h7=A, h8=evolve(moved, group=group))] == ["only_in_maas", "only_on_host"]


def test_the_vm_of_another_machine_is_not_one_that_moved() -> None:
    second = evolve(WEB, system_id="def", hostname="web-2", host_id="8")
    differences = compare(inventory(WEB, second), {"7": A, "8": evolve(B, vms=(VM,))})
    assert [(one.host_id, one.kind.value, one.in_maas) for one in differences] == [(3, "only_in_maas", "machine web")]


def test_of_a_taken_host_only_what_maas_does_there_differs() -> None:
    taken = evolve(A, taken=True, machines={"abc": "web"}, problem="no route")
    assert seen(WEB, h7=taken) == []
    assert seen(evolve(WEB, system_id="other"), h7=taken) == [(3, "web", "deleted_in_maas", "", "machine abc")]
    assert seen(evolve(WEB, status=9), h7=taken) == [(3, "web", "in_motion", "Deploying", "")]


def test_what_differs_on_taken_hosts_is_the_last() -> None:
    at_work = evolve(WEB, status=9)
    assert [one[0] for one in seen(at_work, h7=A, h8=evolve(B, vms=(evolve(VM, name="other"),)))] == [3, 3, 4]
    taken = evolve(A, taken=True)
    assert [one[0] for one in seen(at_work, h7=taken, h8=evolve(B, vms=(evolve(VM, name="other"),)))] == [4, 3]


def test_a_machine_that_maas_has_outside_its_hosts_is_not_deleted() -> None:
    taken = evolve(A, taken=True, machines={"abc": "web"})

    def kinds(*left_out: LeftOut) -> list[str]:
        return [one.kind.value for one in compare(inventory(left_out=left_out), {"7": taken})]

    assert kinds() == ["deleted_in_maas"]
    assert kinds(LeftOut(kind="machines", id="abc", name="web", reason="It belongs to no VM host.")) == []
    assert kinds(LeftOut(kind="machines", id="", name="abc", reason="It has no machine.")) == ["deleted_in_maas"]
    assert kinds(LeftOut(kind="hosts", id="ops", name="ops", reason="Hosts may be missing.")) == []


def test_machines_of_other_hosts_are_not_compared() -> None:
    assert found(evolve(WEB, host_id="8"), VM) == [("web", "only_on_host", "", "VM web")]


HOST = Host(id="7", name="kvm", power_type="simulated", power_address="simulated:kvm")


def test_a_host_that_maas_may_hide_is_not_one_that_it_no_longer_has() -> None:
    def found(**more: Any) -> list[tuple[bool | None, int | None]]:
        presence = presence_of(inventory(WEB, hosts=(HOST,), **more), ["7", "8"])
        return [(one.in_maas, one.machines_in_maas) for one in presence]

    assert found() == [(True, 1), (False, 0)]
    for left_out in ("8", "ops"):
        reason = LeftOut(kind="hosts", id=left_out, name=left_out, reason="It is not shown.")
        assert found(left_out=(reason,)) == [(True, 1), (None, None)]


def states(state: RegionState) -> dict[str, tuple[str, str]]:
    plan = make_plan(1, inventory(WEB, hosts=(HOST,)), state, {}, simulated_allowed=True)
    return {one.name: (one.state.value, one.reason) for one in plan.of("machines")}


def test_machines_of_a_host_that_is_not_taken_over_are_left_out() -> None:
    watched = RegionState(taken_hosts=frozenset())
    assert states(watched) == {"web": ("left_out", "MAAS is in charge of kvm until you take it over.")}
    assert states(watched.taking("7")) == {"web": ("new", "")}
    assert states(RegionState()) == {"web": ("new", "")}
    assert RegionState().taking("7") == RegionState()


def test_choices_that_still_exist_count_again() -> None:
    known = RegionState(users={"ops": KnownUser(username="ops", email="", is_admin=False)})
    users = (User(id="2", username="ops"), User(id="3", username="ann"))
    plan = make_plan(1, inventory(WEB, hosts=(HOST,), users=users), known, {}, simulated_allowed=True)
    before = {
        ("machines", "abc"): "leave_out", ("machines", "gone"): "leave_out", ("users", "3"): "same",
        ("hosts", "7"): "adopt",
    }  # fmt: skip
    assert kept_choices(plan, before) == {("machines", "abc"): "leave_out"}

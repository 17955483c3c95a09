"""The plan of an import from MAAS: what each object becomes in which region."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from common.errors import InvalidRequest
from common.maas.inventory import Domain, LeftOut, Named, Subnet, Vlan
from common.trust.certificates import fingerprint, load_certificate, make_authority, utc_now
from regiond.maas.imports.model import ItemState, Plan
from regiond.maas.imports.region_state import KnownGuest, KnownMachine, KnownSubnet, KnownUser, host_key
from regiond.maas.imports.statuses import NAMES, becomes
from regiond.machines.values.states import MachineState
from tests.maas_site.plans import DB, EMPTY, FULL, LIBVIRT, SITE, WEB, host, item, machine, plan, planned, user

NEW, EXISTS, CONFLICT, LEFT_OUT = ItemState.NEW, ItemState.EXISTS, ItemState.CONFLICT, ItemState.LEFT_OUT


def states(found: Plan, kind: str) -> dict[str, ItemState]:
    return {one.source_id: one.state for one in found.of(kind)}


def test_everything_is_new_in_a_region_that_has_nothing() -> None:
    found = plan()
    assert states(found, "zones") == {"1": EXISTS, "2": NEW}
    assert states(found, "users") == {"1": LEFT_OUT, "2": NEW, "3": NEW, "4": LEFT_OUT}
    assert {one.state for kind in ("hosts", "clusters", "machines", "tags") for one in found.of(kind)} == {NEW}
    assert states(found, "networks") == {
        "space:1": NEW, "fabric:0": NEW, "vlan:10": NEW, "vlan:11": NEW, "subnet:5": NEW, "range:1": NEW,
        "reserved:10.77.0.50": NEW, "domain:1": NEW, "name:1": NEW, "name:2": LEFT_OUT,
    }  # fmt: skip
    assert found.counts["machines"] == {"new": 2, "exists": 0, "conflict": 0, "left_out": 0}
    assert not found.undecided


def test_everything_exists_after_an_import() -> None:
    assert {one.state for one in plan(state=FULL).items} == {EXISTS, LEFT_OUT}


def test_what_an_object_becomes_is_in_words() -> None:
    found = plan()
    assert [one.becomes for one in found.of("hosts")] == [
        "LXD host at 10.0.0.7, project maas", "libvirt host at qemu+ssh://root@10.0.0.8/system",
    ]  # fmt: skip
    assert [one.becomes for one in found.of("machines")] == [
        "deployed machine of kvm-1, VM web", "ready machine of kvm-2, VM db",
    ]  # fmt: skip
    assert item(found, "clusters", "2").becomes == "cluster apps of kvm-1"
    assert item(found, "users", "2").becomes == "administrator anna"
    assert item(found, "networks", "reserved:10.77.0.50").name == "metal-1"


def test_machines_of_a_host_that_is_left_out_are_left_out() -> None:
    found = plan(hosts_7="leave_out")
    assert (item(found, "machines", "aaaaa1").state, item(found, "machines", "aaaaa2").state) == (LEFT_OUT, NEW)
    assert item(found, "machines", "aaaaa1").reason == "Its VM host kvm-1 is not imported."
    assert item(found, "clusters", "2").reason == "None of its members is imported."


def test_machines_of_an_unknown_host_and_empty_clusters_are_left_out() -> None:
    found = plan(evolve(machine(host_id="99"), hosts=(LIBVIRT,)))
    assert item(found, "machines", "aaaaa1").reason == "Its VM host is not in the source."
    assert item(found, "clusters", "2").reason == "The source does not say which hosts are in it."


def test_a_cluster_here_is_that_of_maas_by_its_members() -> None:
    """Their names say nothing: each site may have a cluster that is called so."""
    elsewhere = evolve(FULL, hosts=(evolve(FULL.hosts[0], address="https://10.9.9.9:8443"), FULL.hosts[1]))
    found = item(plan(state=elsewhere, hosts_7="rename=kvm-9"), "clusters", "2")
    assert (found.state, found.choices) == (CONFLICT, ("rename=", "leave_out"))
    assert found.reason.startswith("Another cluster here is named apps: none of the members of this one is in it")
    renamed = item(plan(state=elsewhere, hosts_7="rename=kvm-9", clusters_2="rename=south"), "clusters", "2")
    assert (renamed.new_name, renamed.becomes) == ("south", "cluster south of kvm-9")
    again = item(plan(state=elsewhere, hosts_7="rename=kvm-9", clusters_2="rename=apps"), "clusters", "2")
    assert (again.undecided, again.reason) == (True, "Another cluster is named apps.")


def test_a_cluster_of_another_name_with_its_members_is_renamed() -> None:
    found = item(plan(state=evolve(FULL, clusters={"lxd-1": 1})), "clusters", "2")
    assert (found.state, found.becomes) == (NEW, "cluster apps of kvm-1")


def test_the_certificates_of_clusters_of_one_name_are_compared() -> None:
    _, pem = make_authority("client", utc_now())
    same = fingerprint(load_certificate(pem))
    for trusted, words in ((same, "both trust the same certificate"), ("0" * 64, "it trusts another certificate")):
        there = evolve(FULL.hosts[0], address="https://10.9.9.9:8443", certificate_fingerprint=trusted)
        found = item(plan(host(certificate=pem), evolve(FULL, hosts=(there,))), "clusters", "2")
        assert words in found.reason


def test_a_machine_without_its_owner_is_ready_and_says_why() -> None:
    allocated = item(plan(machine(status=10), users_3="leave_out"), "machines", "aaaaa1")
    assert allocated.becomes == "ready machine of kvm-1, VM web"
    assert allocated.notes == ("Its owner olaf is not imported: it has none.",)
    unknown = item(plan(machine(owner="gone")), "machines", "aaaaa1")
    assert unknown.notes == ("Its owner gone is not imported (not in the source): it has none.",)


def test_what_is_undecided_counts_as_imported() -> None:
    """So all conflicts are seen at once, and nobody decides on a plan that a choice makes another."""
    hosts = (evolve(FULL.hosts[0], address="https://10.9.9.9:8443"),)
    users = {"olaf": KnownUser(username="olaf", email="x@example.com", is_admin=False)}
    state = evolve(EMPTY, hosts=hosts, users=users, hostnames=frozenset({"web"}))
    found = plan(machine(status=10), state)
    assert {one.key for one in found.undecided} == {("hosts", "7"), ("users", "3"), ("machines", "aaaaa1")}
    shown = item(found, "machines", "aaaaa1")
    assert (shown.becomes, shown.notes) == ("allocated machine of kvm-1, VM web", ())
    behind = plan(machine(status=10), state, hosts_7="leave_out", machines_aaaaa1="rename=shop")
    assert item(behind, "machines", "aaaaa1").state is LEFT_OUT


def test_a_machine_that_an_allocation_composed_says_so() -> None:
    assert "its release destroys it" in item(plan(machine(dynamic=True)), "machines", "aaaaa1").notes[0]


def test_a_machine_says_what_is_pinned_and_what_its_host_says_otherwise() -> None:
    pinned = machine(pinned_cores=(1, 0), huge_pages=True)
    assert item(plan(pinned), "machines", "aaaaa1").notes == (
        "Pinned cores: 0, 1.", "Its memory is in huge pages.",
    )  # fmt: skip
    guest = KnownGuest(pinned_cores=frozenset({4}), huge_pages=False)
    state = evolve(FULL, guests={(1, "web"): guest}, nodes_of_cores={1: {0: 0, 1: 0, 4: 1}})
    assert item(plan(pinned, state), "machines", "aaaaa1").notes == (
        "Pinned cores: in MAAS 0, 1 (NUMA node 0), on its host 4 (NUMA node 1).",
        "Its memory is in huge pages in MAAS only.",
    )
    assert item(plan(machine(), state), "machines", "aaaaa1").notes == ()


@pytest.mark.parametrize("status", sorted(NAMES))
def test_each_status_of_maas_becomes_something_or_has_a_reason(status: int) -> None:
    found = becomes(status, owned=True)
    in_motion = status in {1, 9, 12, 14, 16, 17, 18, 19, 20, 21}
    assert (found.state is None) == in_motion
    assert bool(found.reason) == in_motion
    assert not in_motion or item(plan(machine(status=status)), "machines", "aaaaa1").state is LEFT_OUT


@pytest.mark.parametrize(
    ("status", "owned", "state", "note"),
    [
        (4, False, MachineState.READY, ""), (6, True, MachineState.DEPLOYED, ""), (6, False, MachineState.DEPLOYED, ""),
        (10, True, MachineState.ALLOCATED, ""), (10, False, MachineState.READY, ""),
        (5, True, MachineState.ALLOCATED, ""), (3, True, MachineState.DEPLOYED, ""),
        (3, False, MachineState.READY, ""), (8, False, MachineState.BROKEN, ""),
        (11, True, MachineState.ALLOCATED, "In MAAS it was: Failed deployment."),
        (13, True, MachineState.BROKEN, "In MAAS it was: Releasing failed."),
        (22, False, MachineState.READY, "In MAAS it was: Failed testing."),
    ],
)  # fmt: skip
def test_a_status_becomes_a_state(status: int, owned: bool, state: MachineState, note: str) -> None:
    found = becomes(status, owned=owned)
    assert (found.state, found.note) == (state, note)


def test_a_status_that_nobody_knows_is_left_out() -> None:
    assert becomes(99, owned=False).reason == "MAAS's status 99 is not known here."


def test_an_id_of_another_machine_here_leaves_no_choice() -> None:
    other = KnownMachine(system_id="aaaaa1", hostname="old", host="kvm-9", guest="other")
    found = item(plan(state=evolve(EMPTY, machines={"aaaaa1": other})), "machines", "aaaaa1")
    assert (found.state, found.choices, found.reason) == (
        CONFLICT, ("leave_out",), "The machine old on kvm-9 has this id here.",
    )  # fmt: skip


@pytest.mark.parametrize("guest", ["", "web"])
def test_a_machine_that_came_before_is_here(guest: str) -> None:
    known = KnownMachine(system_id="aaaaa1", hostname="web", host="kvm-1", guest=guest, guest_key="6f1c-uuid")
    state = evolve(EMPTY, machines={"aaaaa1": known})
    assert item(plan(state=state), "machines", "aaaaa1").state is EXISTS


def test_a_machine_is_recognised_by_the_id_of_its_hypervisor() -> None:
    known = KnownMachine(system_id="aaaaa1", hostname="web", host="kvm-2", guest="web", guest_key="6f1c-uuid")
    found = plan(machine(instance="6f1c-uuid"), evolve(EMPTY, machines={"aaaaa1": known}))
    assert item(found, "machines", "aaaaa1").state is EXISTS


@pytest.mark.parametrize("name", ["taken", "not a name"])
def test_a_machine_whose_name_is_impossible_gets_another(name: str) -> None:
    state = evolve(EMPTY, hostnames=frozenset({"taken"}))
    found = item(plan(machine(hostname=name), state), "machines", "aaaaa1")
    assert (found.state, found.choices, found.undecided) == (CONFLICT, ("rename=", "leave_out"), True)
    renamed = item(plan(machine(hostname=name), state, machines_aaaaa1="rename=shop"), "machines", "aaaaa1")
    assert (renamed.new_name, renamed.undecided) == ("shop", False)


@pytest.mark.parametrize("name", ["taken", "db", "not a name"])
def test_a_new_name_has_to_be_possible_too(name: str) -> None:
    """The machine named `db` comes before."""
    site = evolve(machine(hostname="taken"), machines=(DB, evolve(WEB, hostname="taken")))
    state = evolve(EMPTY, hostnames=frozenset({"taken"}))
    found = item(plan(site, state, machines_aaaaa1=f"rename={name}"), "machines", "aaaaa1")
    assert found.undecided
    assert found.reason.startswith("Another machine") or name == "not a name"


def test_two_machines_of_one_name_are_a_conflict_unless_one_stays_behind() -> None:
    twice = evolve(SITE, machines=(WEB, evolve(DB, hostname="web")))
    assert item(plan(twice), "machines", "aaaaa2").state is CONFLICT
    assert item(plan(twice, hosts_7="leave_out"), "machines", "aaaaa2").state is NEW


def test_a_host_is_recognised_by_address_and_project() -> None:
    known = evolve(FULL.hosts[0], name="here")
    found = item(plan(state=evolve(EMPTY, hosts=(known,))), "hosts", "7")
    assert (found.state, found.notes) == (EXISTS, ("Its name here is here.",))
    elsewhere = evolve(known, project="other")
    assert item(plan(state=evolve(EMPTY, hosts=(elsewhere,))), "hosts", "7").state is NEW


def test_a_host_whose_name_is_taken_gets_another() -> None:
    state = evolve(EMPTY, hosts=(evolve(FULL.hosts[0], address="https://10.9.9.9:8443"),))
    assert item(plan(state=state), "hosts", "7").reason == "Another VM host is named kvm-1."
    renamed = plan(state=state, hosts_7="rename=kvm-7")
    assert item(renamed, "hosts", "7").new_name == "kvm-7"
    assert item(renamed, "machines", "aaaaa1").becomes == "deployed machine of kvm-7, VM web"
    again = plan(state=state, hosts_7="rename=kvm-1")
    assert item(again, "hosts", "7").undecided
    assert item(again, "machines", "aaaaa1").state is NEW


def test_two_hosts_of_one_name_are_a_conflict() -> None:
    assert item(plan(host(name="kvm-2")), "hosts", "8").state is CONFLICT
    assert item(plan(host(name="kvm-2"), hosts_7="leave_out"), "hosts", "8").state is NEW


def test_a_host_that_two_maas_share_needs_a_word() -> None:
    shared = evolve(EMPTY, shared_hosts=frozenset({host_key("lxd", "https://10.0.0.7:8443", "maas")}))
    found = item(plan(state=shared), "hosts", "7")
    assert (found.state, found.choices) == (CONFLICT, ("same", "leave_out"))
    assert not plan(state=shared, hosts_7="same").undecided


def test_hosts_of_other_types_and_impossible_addresses_are_left_out() -> None:
    for changes in ({"power_type": "ipmi"}, {"power_address": "qemu+ssh://[bad"}, {"power_address": ""}):
        found = item(plan(host(**changes)), "hosts", "7")
        assert found.state is LEFT_OUT
        assert found.reason


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"certificate": "", "key": ""}, "No certificate with its key is in the source"),
        ({"key": "", "vault_paths": ("bmc/7/power-parameters",)}, "in Vault (bmc/7/power-parameters)"),
        ({"complete": False}, "MAAS 4.0 has lost its name"),
    ],
)
def test_a_host_says_what_has_to_be_done(changes: dict[str, Any], note: str) -> None:
    assert note in " ".join(item(plan(host(**changes)), "hosts", "7").notes)


def test_a_libvirt_host_says_where_its_ssh_key_is() -> None:
    assert "SSH key" in item(plan(), "hosts", "8").notes[0]
    site = evolve(SITE, hosts=(SITE.hosts[0], evolve(LIBVIRT, power_pass="secret")))  # noqa: S106
    assert item(plan(site), "hosts", "8").notes == ()


def test_a_user_of_the_same_name_is_the_same_only_by_email() -> None:
    def state(email: str) -> Any:
        return evolve(EMPTY, users={"olaf": KnownUser(username="olaf", email=email, is_admin=False)})

    assert item(plan(state=state("OLAF@example.com")), "users", "3").state is EXISTS
    found = item(plan(state=state("other@example.com")), "users", "3")
    assert (found.state, found.choices) == (CONFLICT, ("same", "rename=", "leave_out"))
    assert not plan(state=state(""), users_3="same").undecided


def test_a_user_is_never_renamed_to_somebody_who_is_here() -> None:
    """Otherwise the API keys of one person would open the account of another."""
    here = {name: KnownUser(username=name, email="x@example.com", is_admin=True) for name in ("olaf", "root")}
    state = evolve(EMPTY, users=here)
    for taken in ("root", "anna", "MAAS", "not a name"):
        assert item(plan(state=state, users_3=f"rename={taken}"), "users", "3").undecided, taken
    found = item(plan(state=state, users_3="rename=olaf2"), "users", "3")
    assert (found.new_name, found.becomes, found.undecided) == ("olaf2", "user olaf2", False)


def test_a_renamed_user_exists_after_the_import() -> None:
    here = {
        "olaf": KnownUser(username="olaf", email="x@example.com", is_admin=True),
        "olaf2": KnownUser(username="olaf2", email="olaf@example.com", is_admin=False),
    }
    found = item(plan(state=evolve(EMPTY, users=here), users_3="rename=olaf2"), "users", "3")
    assert (found.state, found.new_name) == (EXISTS, "olaf2")


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"local": False}, "authenticated elsewhere"),
        ({"password_hash": ""}, "no password"),
        ({"ssh_keys": ("k",)}, "1"),
    ],
)
def test_a_user_says_what_comes_along(changes: dict[str, Any], note: str) -> None:
    assert note in " ".join(item(plan(user(**changes)), "users", "3").notes)


def test_a_group_whose_name_is_impossible_here_gets_another() -> None:
    site = evolve(SITE, zones=(Named(id="1", name="default"), Named(id="2", name="the/east")))
    assert item(plan(site), "zones", "2").undecided
    renamed = item(plan(site, zones_2="rename=east"), "zones", "2")
    assert (renamed.state, renamed.new_name, renamed.becomes) == (CONFLICT, "east", "zone east")
    assert item(plan(site, zones_2="rename=also/bad"), "zones", "2").undecided


def test_a_group_can_become_one_that_is_here_and_is_it_afterwards() -> None:
    site = evolve(SITE, zones=(Named(id="2", name="the/east"), Named(id="3", name="more/east")))
    after = evolve(EMPTY, zones=frozenset({"default", "east"}))
    for name in ("east", "default"):
        found = item(plan(site, after, zones_2=f"rename={name}", zones_3="leave_out"), "zones", "2")
        assert (found.state, found.new_name) == (EXISTS, name)
    twice = plan(site, zones_2="rename=east", zones_3="rename=east")
    assert [one.undecided for one in twice.of("zones")] == [False, True]


def test_a_subnet_that_is_here_in_another_vlan_moves_or_stays() -> None:
    state = evolve(EMPTY, subnets={"10.77.0.0/24": KnownSubnet(id=3, fabric="other", vid=5)})
    found = item(plan(state=state), "networks", "subnet:5")
    assert (found.state, found.choices) == (CONFLICT, ("move", "keep"))
    assert found.reason == "It is here already, in VLAN 5 of other."


def test_the_untagged_vlan_of_a_fabric_gets_its_settings_after_an_interruption() -> None:
    begun = evolve(
        EMPTY, fabrics=frozenset({"fabric-0"}), vlans={("fabric-0", 0): 1}, untouched_vlans=frozenset({("fabric-0", 0)})
    )
    plain = Vlan(id="10", vid=0, fabric="fabric-0")
    for changes, state, expected in (
        ({}, begun, EXISTS), ({"mtu": 9000}, begun, NEW), ({"space": "dmz"}, begun, NEW),
        ({"space": "undefined"}, begun, EXISTS),
        ({"description": "x"}, begun, NEW), ({"mtu": 9000}, evolve(begun, untouched_vlans=frozenset()), EXISTS),
    ):  # fmt: skip
        site = evolve(SITE, vlans=(evolve(plain, **changes), SITE.vlans[1]))
        assert item(plan(site, state), "networks", "vlan:10").state is expected, changes


def test_networks_that_are_none_are_left_out() -> None:
    site = evolve(
        SITE,
        vlans=(*SITE.vlans, Vlan(id="12", vid=5000, fabric="fabric-0")),
        subnets=(Subnet(id="6", cidr="10.0.0.7/24", vlan_id="11"), Subnet(id="7", cidr="10.8.0.0/24", vlan_id="99")),
        domains=(Domain(id="2", name="-bad-"),),
    )
    found = plan(site)
    for source_id in ("vlan:12", "subnet:6", "subnet:7", "domain:2"):
        assert item(found, "networks", source_id).state is LEFT_OUT, source_id
        assert item(found, "networks", source_id).reason


def test_what_the_reader_left_out_is_in_the_plan() -> None:
    site = evolve(SITE, left_out=(LeftOut(kind="hosts", id="99", name="old", reason="Its type is ipmi."),))
    assert item(plan(site), "hosts", "99").reason == "Its type is ipmi."


def test_a_choice_has_to_be_one_of_the_object() -> None:
    for choices, words in (
        ({"hosts_7": "same"}, "hosts 7 (kvm-1) has no choice 'same'; its choices: leave_out."),
        ({"machines_aaaaa1": "rename="}, "its choices: adopt, leave_out."),
        ({"hosts_99": "leave_out"}, "The import has no hosts with the id 99."),
        ({"zones_2": "leave_out"}, "its choices: none."),
    ):
        with pytest.raises(InvalidRequest) as error:
            planned(SITE, EMPTY, choices)
        assert words in error.value.fields["choices"][0]


def test_what_exists_needs_no_choice() -> None:
    assert plan(state=FULL, hosts_7="leave_out", machines_aaaaa1="rename=x").of("hosts")[0].state is EXISTS

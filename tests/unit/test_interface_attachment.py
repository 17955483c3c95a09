"""How each card is attached: by which function, and where by default; and a brute-force oracle."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import product

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.values import NicKind
from regiond.placement.interface_text import parse_interfaces
from regiond.placement.interfaces import attach, default_attachment, needed_functions
from regiond.placement.model import InterfaceOffer, NicPlace
from tests.unit.interface_offers import ALL, BOND, BRIDGE, CARD, PORT, VLAN, host, refused


def test_an_interface_with_functions_is_attached_by_one_and_before_plain_macvlan() -> None:
    (place,), _ = attach(parse_interfaces("a:space=dmz"), host(CARD, evolve(PORT, id=1)))
    assert (place.kind, place.source, place.function_port, place.vid) == (NicKind.SRIOV, "sim1", "sim1", None)
    assert place.macvlan_mode is None


def test_a_vlan_on_a_port_takes_a_function_of_the_port_with_its_vid() -> None:
    for wishes in (parse_interfaces("a:vid=100"), ()):
        (place,), _ = attach(wishes, host(VLAN))
        assert (place.kind, place.source, place.function_port, place.vid) == (NicKind.SRIOV, "sim1", "sim1", 100)


def test_a_bridge_on_a_port_with_functions_stays_a_bridge() -> None:
    (place,), _ = attach(parse_interfaces("a:type=bridge"), host(evolve(BRIDGE, functions_total=8, functions_free=8)))
    assert (place.kind, place.source, place.function_port) == (NicKind.BRIDGE, "br0", None)


@pytest.mark.parametrize(("mode", "told"), [(None, "bridge"), ("vepa", "vepa")])
def test_macvlan_has_the_mode_of_the_host(mode: str | None, told: str) -> None:
    (place,), _ = attach(parse_interfaces("a:type=bond"), host(BOND, macvlan_mode=mode))
    assert (place.kind, place.source, place.macvlan_mode) == (NicKind.MACVLAN, "bond0", told)


def test_cards_of_one_machine_use_up_functions_together() -> None:
    other = evolve(PORT, id=1, name="sim0", function_port="sim0", functions_free=1)
    places, _ = attach(parse_interfaces("a:space=dmz;b:space=dmz;c:space=dmz"), host(PORT, other))
    assert [place.function_port for place in places] == ["sim1", "sim1", "sim0"]
    assert needed_functions(places) == {"sim1": 2, "sim0": 1}


def test_a_card_makes_way_for_one_that_can_go_nowhere_else() -> None:
    best = evolve(PORT, functions_free=1)
    other = evolve(PORT, id=1, name="sim0", function_port="sim0", functions_free=1)
    places, _ = attach(parse_interfaces("a:space=dmz;b:name=sim1"), host(best, other))
    assert [place.function_port for place in places] == ["sim0", "sim1"]


def test_a_port_and_its_vlan_share_their_functions() -> None:
    text = "a:name=sim1;b:name=sim1.100;c:name=sim1"
    assert refused(text, PORT, VLAN) == (
        "virtual functions: 3 asked for a, b, c (name sim1; name sim1.100), 2 of 8 left on sim1"
    )


def test_a_card_never_gets_less_because_functions_ran_out() -> None:
    empty = evolve(PORT, functions_free=0)
    assert refused("eth0:space=dmz", CARD, empty) == (
        "virtual functions: 1 asked for eth0 (space dmz), 0 of 8 left on sim1"
    )


def test_a_place_holds_the_subnet_that_is_known_and_what_the_card_is_to_get() -> None:
    places, _ = attach(
        parse_interfaces("0:subnet=fd00:1::/64;b:name=br0;c:name=bond0,ip=10.1.0.9;d:id=12,mode=unconfigured"),
        host(*ALL),
    )
    assert [(one.label, one.name, one.subnet_id, one.ip, one.configured) for one in places] == [
        ("0", "eth0", 2, None, True),
        ("b", "eth-b", None, None, True),
        ("c", "eth-c", 1, "10.1.0.9", True),
        ("d", "eth-d", 3, None, False),
    ]
    assert [one.vlan_id for one in places] == [5001, 5001, 5001, 5002]


def default(*interfaces: InterfaceOffer, driver: str = "lxd") -> NicPlace | None:
    return default_attachment(host(*interfaces, driver=driver))


def test_the_default_card_goes_where_most_is_ready_for_it() -> None:
    def managed(number: int, name: str) -> InterfaceOffer:
        return InterfaceOffer(id=number, name=name, kind=NicKind.NETWORK, type="bridge")

    there = [managed(30, "maas"), managed(31, "default"), managed(32, "a"), managed(33, "b"), BRIDGE, PORT, CARD]
    chosen = []
    while there:
        place = default(*there)
        assert place is not None
        chosen.append((place.kind, place.source))
        there = [one for one in there if one.id != place.interface_id]
    assert chosen == [
        (NicKind.NETWORK, "maas"),
        (NicKind.NETWORK, "default"),
        (NicKind.NETWORK, "a"),
        (NicKind.NETWORK, "b"),
        (NicKind.BRIDGE, "br0"),
        (NicKind.SRIOV, "sim1"),
        (NicKind.MACVLAN, "ens1"),
    ]


def test_without_anything_to_attach_to_there_is_a_reason_or_the_user_mode_network_of_libvirt() -> None:
    assert attach((), host()) == ((), "interfaces: a card on the default network asked, the host has no interface")
    empty = evolve(PORT, functions_free=0)
    assert attach((), host(empty)) == ((), "virtual functions: 1 asked for eth0, 0 of 8 left on sim1")
    for interfaces in ((), (empty,)):
        place = default(*interfaces, driver="virsh")
        assert place == NicPlace(label="", name="eth0", kind=NicKind.USER, source="")


def test_on_libvirt_only_an_interface_that_leads_somewhere_comes_before_the_user_mode_network() -> None:
    uplinked = evolve(BRIDGE, dhcp=False, parent="ens1")
    for one in (evolve(uplinked, parent=None), evolve(CARD, dhcp=False)):
        place = default(one, driver="virsh")
        assert place is not None
        assert place.kind is NicKind.USER
    for one in (uplinked, evolve(CARD, dhcp=True)):
        place = default(one, driver="virsh")
        assert place is not None
        assert place.source == one.name


@st.composite
def interfaces(draw: st.DrawFn) -> tuple[InterfaceOffer, ...]:
    free = {f"sim{number}": draw(st.integers(0, 2)) for number in range(3)}
    made = []
    for number in range(draw(st.integers(0, 6))):
        form = draw(st.sampled_from((BRIDGE, BOND, CARD, PORT, PORT, VLAN, VLAN)))
        space = draw(st.sampled_from(("lan", "dmz")))
        one = evolve(form, id=number, name=f"if{number}", space_name=space, active=draw(st.integers(0, 9)) > 0)
        if form.functions_total:
            port = draw(st.sampled_from(sorted(free)))
            one = evolve(one, function_port=port, functions_free=free[port])
        made.append(one)
    return tuple(made)


WISHES = (
    "space=lan",
    "space=dmz",
    "type=physical",
    "type=vlan,space=dmz",
    "not_type=bridge",
    "not_type=bond,not_type=bridge",
)


def wants_function(one: InterfaceOffer) -> bool:
    return one.type != "bridge" and one.functions_total > 0


def by_hand(text: str, there: tuple[InterfaceOffer, ...]) -> list[InterfaceOffer]:
    """The interfaces a card may get by the rules, written out once more without the matching code."""
    forms: Mapping[str, Callable[[InterfaceOffer], bool]] = {
        "space=lan": lambda one: one.space_name == "lan",
        "space=dmz": lambda one: one.space_name == "dmz",
        "type=physical": lambda one: one.type == "physical",
        "type=vlan,space=dmz": lambda one: one.type == "vlan" and one.space_name == "dmz",
        "not_type=bridge": lambda one: one.type != "bridge",
        "not_type=bond,not_type=bridge": lambda one: one.type not in ("bond", "bridge"),
    }
    met = [one for one in there if one.active and forms[text](one)]
    for form in ("bridge", "bond"):
        if any(one.type == form for one in met):
            return [one for one in met if one.type == form][-1:]
    functions = [one for one in met if wants_function(one)]
    return functions or met[-1:]


@given(interfaces(), st.lists(st.sampled_from(WISHES), min_size=1, max_size=4))
def test_cards_find_their_places_exactly_when_there_is_a_way(
    there: tuple[InterfaceOffer, ...], texts: list[str]
) -> None:
    free = {one.function_port: one.functions_free for one in there if one.functions_total}
    every = list(product(*(by_hand(text, there) for text in texts)))
    possible = [
        tried
        for tried in every
        if all(
            count <= free[port]
            for port, count in Counter(one.function_port for one in tried if wants_function(one)).items()
        )
    ]
    places, reason = attach(parse_interfaces(";".join(f"c{at}:{text}" for at, text in enumerate(texts))), host(*there))
    assert (reason is None) is bool(possible)
    if reason is None:
        names = [(one.id, one.function_port if wants_function(one) else None) for one in there]
        assert all((place.interface_id, place.function_port) in names for place in places)
        assert any(
            [place.function_port for place in places]
            == [one.function_port if wants_function(one) else None for one in tried]
            for tried in possible
        )
    elif reason.startswith("virtual functions"):
        asked = int(re.findall(r"(\d+) asked", reason)[0])
        left = {port: int(number) for number, port in re.findall(r"(\d+) of \d+ left on (\w+)", reason)}
        assert asked > sum(left.values())
        assert all(free[port] == number for port, number in left.items())
    else:
        assert not every

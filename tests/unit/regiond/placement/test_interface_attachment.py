"""How each NIC is attached: virtual functions, defaults, and a brute-force oracle."""

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
from regiond.placement.candidate import Candidate, CandidateInterface
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.model import NicAttachment
from regiond.placement.nic_attachment import attach_nics, default_attachment, required_functions
from tests.unit.support.candidate_interfaces import ALL, BOND, BRIDGE, PHYSICAL, PORT, VLAN, host, rejection

SRIOV = evolve(PORT, id=1)
BRIDGE_ON_PORT = evolve(BRIDGE, functions_total=8, functions_free=8)


@pytest.mark.parametrize(
    ("text", "on_host", "expected"),
    [
        ("a:space=dmz", host(PHYSICAL, SRIOV), (NicKind.SRIOV, "sim1", "sim1", None, None)),
        ("a:vid=100", host(VLAN), (NicKind.SRIOV, "sim1", "sim1", 100, None)),
        ("", host(VLAN), (NicKind.SRIOV, "sim1", "sim1", 100, None)),
        ("a:type=bridge", host(BRIDGE_ON_PORT), (NicKind.BRIDGE, "br0", None, None, None)),
        ("a:type=bond", host(BOND), (NicKind.MACVLAN, "bond0", None, None, "bridge")),
        ("a:type=bond", host(BOND, macvlan_mode="vepa"), (NicKind.MACVLAN, "bond0", None, None, "vepa")),
    ],
    ids=["function before macvlan", "VLAN of a port", "default NIC", "bridge on a port", "macvlan", "mode of the host"],
)
def test_the_interface_determines_the_attachment(text: str, on_host: Candidate, expected: tuple[object, ...]) -> None:
    (nic,), _ = attach_nics(parse_interfaces(text), on_host)
    assert (nic.kind, nic.source, nic.function_port, nic.vid, nic.macvlan_mode) == expected


def test_nics_of_a_machine_share_the_free_functions() -> None:
    other = evolve(PORT, id=1, name="sim0", function_port="sim0", functions_free=1)
    attachments, _ = attach_nics(parse_interfaces("a:space=dmz;b:space=dmz;c:space=dmz"), host(PORT, other))
    assert [attachment.function_port for attachment in attachments] == ["sim1", "sim1", "sim0"]
    assert required_functions(attachments) == {"sim1": 2, "sim0": 1}


def test_a_nic_yields_a_port_that_another_one_needs() -> None:
    best = evolve(PORT, functions_free=1)
    other = evolve(PORT, id=1, name="sim0", function_port="sim0", functions_free=1)
    attachments, _ = attach_nics(parse_interfaces("a:space=dmz;b:name=sim1"), host(best, other))
    assert [attachment.function_port for attachment in attachments] == ["sim0", "sim1"]


def test_a_port_and_its_vlan_share_their_functions() -> None:
    text = "a:name=sim1;b:name=sim1.100;c:name=sim1"
    assert rejection(text, PORT, VLAN) == (
        "needs 3 virtual functions for a, b, c (name sim1; name sim1.100), 2 of 8 free on sim1"
    )


def test_a_nic_never_falls_back_to_macvlan() -> None:
    empty = evolve(PORT, functions_free=0)
    assert rejection("eth0:space=dmz", PHYSICAL, empty) == (
        "needs 1 virtual function for eth0 (space dmz), 0 of 8 free on sim1"
    )


def test_an_attachment_has_the_known_subnet_and_the_settings() -> None:
    attachments, _ = attach_nics(
        parse_interfaces("0:subnet=fd00:1::/64;b:name=br0;c:name=bond0,ip=10.1.0.9;d:id=12,mode=unconfigured"),
        host(*ALL),
    )
    assert [(one.label, one.name, one.subnet_id, one.ip, one.configured) for one in attachments] == [
        ("0", "eth0", 2, None, True),
        ("b", "eth-b", None, None, True),
        ("c", "eth-c", 1, "10.1.0.9", True),
        ("d", "eth-d", 3, None, False),
    ]
    assert [one.vlan_id for one in attachments] == [5001, 5001, 5001, 5002]


def default(*interfaces: CandidateInterface, driver: str = "lxd") -> NicAttachment:
    attachment = default_attachment(host(*interfaces, driver=driver))
    assert attachment is not None
    return attachment


def test_the_default_nic_prefers_managed_networks() -> None:
    def managed(number: int, name: str) -> CandidateInterface:
        return CandidateInterface(id=number, name=name, kind=NicKind.NETWORK, type="bridge")

    networks = [managed(30 + number, name) for number, name in enumerate(("maas", "default", "a", "b"))]
    available = [*networks, BRIDGE, PORT, PHYSICAL]
    chosen = []
    while available:
        attachment = default(*available)
        chosen.append((attachment.kind, attachment.source))
        available = [one for one in available if one.id != attachment.interface_id]
    assert chosen == [
        *((NicKind.NETWORK, network.name) for network in networks),
        (NicKind.BRIDGE, "br0"),
        (NicKind.SRIOV, "sim1"),
        (NicKind.MACVLAN, "ens1"),
    ]


def test_without_interfaces_only_libvirt_has_a_default_network() -> None:
    assert attach_nics((), host()) == ((), "needs an interface for the default NIC: the host has no interface")
    empty = evolve(PORT, functions_free=0)
    assert attach_nics((), host(empty)) == ((), "needs 1 virtual function for eth0, 0 of 8 free on sim1")
    for interfaces in ((), (empty,)):
        assert default(*interfaces, driver="virsh") == NicAttachment(
            label="", name="eth0", kind=NicKind.USER, source=""
        )


def test_libvirt_prefers_connected_interfaces_to_user_networking() -> None:
    uplinked = evolve(BRIDGE, dhcp=False, parent="ens1")
    for one in (evolve(uplinked, parent=None), evolve(PHYSICAL, dhcp=False)):
        assert default(one, driver="virsh").kind is NicKind.USER
    for one in (uplinked, evolve(PHYSICAL, dhcp=True)):
        assert default(one, driver="virsh").source == one.name


@st.composite
def interfaces(draw: st.DrawFn) -> tuple[CandidateInterface, ...]:
    free = {f"sim{number}": draw(st.integers(0, 2)) for number in range(3)}
    built = []
    for number in range(draw(st.integers(0, 6))):
        template = draw(st.sampled_from((BRIDGE, BOND, PHYSICAL, PORT, PORT, VLAN, VLAN)))
        space = draw(st.sampled_from(("lan", "dmz")))
        one = evolve(template, id=number, name=f"if{number}", space_name=space, active=draw(st.integers(0, 9)) > 0)
        if template.functions_total:
            port = draw(st.sampled_from(sorted(free)))
            one = evolve(one, function_port=port, functions_free=free[port])
        built.append(one)
    return tuple(built)


CONDITIONS = (
    "space=lan",
    "space=dmz",
    "type=physical",
    "type=vlan,space=dmz",
    "not_type=bridge",
    "not_type=bond,not_type=bridge",
)


def wants_function(one: CandidateInterface) -> bool:
    return one.type != "bridge" and one.functions_total > 0


def usable(text: str, available: tuple[CandidateInterface, ...]) -> list[CandidateInterface]:
    """Returns the interfaces that a NIC may use, computed independently of the matching code."""
    forms: Mapping[str, Callable[[CandidateInterface], bool]] = {
        "space=lan": lambda one: one.space_name == "lan",
        "space=dmz": lambda one: one.space_name == "dmz",
        "type=physical": lambda one: one.type == "physical",
        "type=vlan,space=dmz": lambda one: one.type == "vlan" and one.space_name == "dmz",
        "not_type=bridge": lambda one: one.type != "bridge",
        "not_type=bond,not_type=bridge": lambda one: one.type not in ("bond", "bridge"),
    }
    met = [one for one in available if one.active and forms[text](one)]
    for template in ("bridge", "bond"):
        if any(one.type == template for one in met):
            return [one for one in met if one.type == template][-1:]
    functions = [one for one in met if wants_function(one)]
    return functions or met[-1:]


@given(interfaces(), st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=4))
def test_nics_are_attached_exactly_when_it_is_possible(
    available: tuple[CandidateInterface, ...], texts: list[str]
) -> None:
    free = {one.function_port: one.functions_free for one in available if one.functions_total}
    combinations = list(product(*(usable(text, available) for text in texts)))
    possible = [
        combination
        for combination in combinations
        if all(
            count <= free[port]
            for port, count in Counter(one.function_port for one in combination if wants_function(one)).items()
        )
    ]
    attachments, reason = attach_nics(
        parse_interfaces(";".join(f"c{at}:{text}" for at, text in enumerate(texts))), host(*available)
    )
    assert (reason is None) is bool(possible)
    if reason is None:
        names = [(one.id, one.function_port if wants_function(one) else None) for one in available]
        assert all((attachment.interface_id, attachment.function_port) in names for attachment in attachments)
        assert any(
            [attachment.function_port for attachment in attachments]
            == [one.function_port if wants_function(one) else None for one in combination]
            for combination in possible
        )
    elif "virtual function" in reason:
        needed = int(re.findall(r"needs (\d+)", reason)[0])
        remaining = {port: int(number) for number, port in re.findall(r"(\d+) of \d+ free on (\w+)", reason)}
        assert needed > sum(remaining.values())
        assert all(free[port] == number for port, number in remaining.items())
    else:
        assert not combinations

"""The interface constraint grammar: the reference's examples, every rejection, and arbitrary texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.placement.interface_parser import MAX_NICS, nic_name, parse_interfaces
from regiond.placement.network_selectors import referenced_networks
from regiond.placement.requirements import Condition, NicRequirement


def condition(key: str, *values: str, negated: bool = False) -> Condition:
    return Condition(key=key, values=values, negated=negated)


def required(label: str, *conditions: Condition, **more: Any) -> NicRequirement:
    return NicRequirement(label=label, conditions=conditions, **more)


@pytest.mark.parametrize(
    ("text", "parsed_nics"),
    [
        ("", []),
        ("0", []),
        (
            "eth0:space=dmz;eth1:subnet=10.1.0.0/24,ip=10.1.0.20",
            [
                required("eth0", condition("space", "dmz")),
                required("eth1", condition("subnet", "10.1.0.0/24"), ip="10.1.0.20"),
            ],
        ),
        ("0:vid=101,type=bridge", [required("0", condition("vid", "101"), condition("type", "bridge"))]),
        (
            "mgmt:fabric=fabric-0,not_name=eth3",
            [required("mgmt", condition("fabric", "fabric-0"), condition("name", "eth3", negated=True))],
        ),
        (
            "eth0:vlan=id:5001,mode=unconfigured",
            [required("eth0", condition("vlan", "id:5001"), configured=False)],
        ),
        (
            "a:space=dmz,tag=x&&y,space=lan,not_space=wan,not_space=undefined",
            [
                required(
                    "a",
                    condition("space", "dmz", "lan"),
                    condition("tag", "x&&y"),
                    condition("space", "wan", "undefined", negated=True),
                )
            ],
        ),
        ("a:ip=2001:DB8::0001", [required("a", ip="2001:db8::1")]),
        ("a:name=b=c", [required("a", condition("name", "b=c"))]),
    ],
)
def test_an_example_says_what_it_means(text: str, parsed_nics: list[NicRequirement]) -> None:
    assert [*parse_interfaces(text)] == parsed_nics


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "eth0",
            "Malformed constraint: 'eth0' (required format: '<label>:<key>=<value>[,<key2>=<value2>[,...]]')",
        ),
        ("eth0:", "Malformed constraint: 'eth0:' (required format"),
        ("a:id=1;", "Malformed constraint: '' (required format"),
        ("a:space", "Malformed key/value pair in constraint: 'a:space'"),
        ("a:space=", "Malformed key/value pair in constraint: 'a:space='"),
        ("a:=dmz", "Malformed key/value pair in constraint: 'a:=dmz'"),
        ("a:id=1,", "Malformed key/value pair in constraint: 'a:id=1,'"),
        ("a:id=1;a:id=2", "Constraint label defined more than once: 'a'"),
        ("-a:id=1", "Invalid label name: '-a' ("),
        ("a b:id=1", "Invalid label name: 'a b' ("),
        (":id=1", "Invalid label name: '' ("),
        ("a:colour=red", "Unknown interfaces constraint: 'colour'"),
        ("a:not_mode=unconfigured", "Unknown interfaces constraint: 'not_mode'"),
        ("a:not_link_speed=10", "Unknown interfaces constraint: 'not_link_speed'"),
        ("a: space=dmz", "Unknown interfaces constraint: ' space'"),
        ("a:not_ip=10.1.0.1", "not_ip is not supported: ip assigns an address to the NIC"),
        ("a:ip=10.1.0.1,ip=10.1.0.2", "a: 2 addresses requested (10.1.0.1, 10.1.0.2)"),
        ("a:ip=10.1.0.300", "a: ip='10.1.0.300' is not an IP address."),
        ("a:ip=fe80::1%eth0", "has a zone index"),
        ("a:mode=auto", "a: mode='auto' is not supported; the only mode is unconfigured."),
        ("a:mode=unconfigured,ip=10.1.0.1", "a: ip=10.1.0.1 and mode=unconfigured exclude each other."),
        ("a:subnet=10.1.0.0/24,ip=10.2.0.1", "a: ip=10.2.0.1 is not in 10.1.0.0/24."),
        ("a:subnet_cidr=10.1.0.0/24,ip=fd00::1", "a: ip=fd00::1 is not in 10.1.0.0/24."),
        ("a:vid=4095", "a: vid='4095' is not a VID: 0 to 4094, or untagged."),
        ("a:vid=tagged", "a: vid='tagged' is not a VID"),
        ("a:vlan=4095", "a: vlan='4095' is not a VID"),
        ("a:not_vlan=id:x", "a: not_vlan='id:x' is not a whole number"),
        ("a:vlan=name:", "a: vlan='name:' has nothing after name:."),
        ("a:subnet=10.1.0.5/24", "a: subnet='10.1.0.5/24' is not a CIDR: 10.1.0.5/24 has host bits set."),
        ("a:subnet_cidr=dmz", "a: subnet_cidr='dmz' is not a CIDR such as"),
        ("a:subnet=ip:dmz", "a: subnet='ip:dmz' is not an IP address."),
        ("a:subnet=vlan:subnet:vlan:1", "has more than 3 prefixes"),
        ("a:id=eth0", "a: id='eth0' is not a whole number"),
        ("a:id=99999999999", "a: id='99999999999' is not a whole number from 0 to 2147483647."),
        ("a:link_speed=fast", "a: link_speed='fast' is not a whole number"),
        ("a:type=wifi", "a: type='wifi' is not an interface type; choose from physical, bond, bridge, vlan, unknown."),
        ("a:tag=x&&", "a: tag='x&&' has an empty tag."),
        ("a:name=\x00", "contains unprintable characters"),
        ("0:id=1;eth0:id=2", "'0' and 'eth0' both yield the NIC name eth0."),
        (";".join(f"c{number}:id=1" for number in range(MAX_NICS + 1)), "17 interfaces requested"),
        ("a:" + ",".join(f"id={number}" for number in range(65)), "a has 65 key/value pairs"),
        ("a:name=" + "x" * 20000, "The constraint has 20007 characters"),
    ],
)
def test_malformed_text_is_rejected_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_interfaces(text)
    assert list(error.value.fields) == ["interfaces"]
    assert message in error.value.fields["interfaces"][0]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("0", "eth0"),
        ("007", "eth7"),
        ("mgmt", "mgmt"),
        ("abcdefghijklmno", "abcdefghijklmno"),
        ("abcdefghijklmnop", "eth-ac093-lmnop"),
        ("9" * 20, "eth-8c10f-99999"),
        ("a", "eth-a"),
        ("root", "eth-root"),
        ("disk1", "eth-disk1"),
        ("lo", "eth-lo"),
    ],
)
def test_a_label_becomes_a_nic_name_valid_for_linux_and_lxd(label: str, name: str) -> None:
    assert nic_name(label) == name
    assert 2 <= len(name.encode()) <= 15


def test_referenced_networks_include_the_text_as_written() -> None:
    parsed_nics = parse_interfaces(
        "a:space=dmz,not_space=undefined,vlan=space:lan,subnet=vlan:fabric:class:fast;"
        "b:vid=101,vid=untagged,subnet=10.1.0.0/24,not_fabric=3,fabric_class=fast,subnet=ip:10.1.0.9"
    )
    assert [
        (named.label, named.of, named.by, named.value, named.text) for named in referenced_networks(parsed_nics)
    ] == [
        ("a", "space", "name", "dmz", "space=dmz"),
        ("a", "space", "name", "lan", "vlan=space:lan"),
        ("a", "fabric", "class", "fast", "subnet=vlan:fabric:class:fast"),
        ("b", "vlan", "vid", "101", "vid=101"),
        ("b", "subnet", "cidr", "10.1.0.0/24", "subnet=10.1.0.0/24"),
        ("b", "subnet", "ip", "10.1.0.9", "subnet=ip:10.1.0.9"),
        ("b", "fabric", "id", "3", "not_fabric=3"),
        ("b", "fabric", "class", "fast", "fabric_class=fast"),
    ]


WORDS = st.text("abcxyz0123456789._-", min_size=1, max_size=12)
IDS = st.integers(0, 9999).map(str)
VIDS = st.one_of(st.just("untagged"), st.integers(0, 4094).map(str))
CIDRS = st.one_of(st.just("fd00:1::/64"), st.integers(0, 255).map(lambda third: f"10.1.{third}.0/24"))
BARE = st.one_of(IDS, WORDS.filter(lambda word: not word.isdecimal()))  # digits alone are an id
SPACES = st.one_of(st.just("undefined"), BARE)
FABRICS = st.one_of(BARE, WORDS.map("name:{}".format), WORDS.map("class:{}".format))
VLANS = st.one_of(
    VIDS,
    IDS.map("id:{}".format),
    VIDS.map("vid:{}".format),
    WORDS.map("name:{}".format),
    FABRICS.map("fabric:{}".format),
    SPACES.map("space:{}".format),
    CIDRS.map("subnet:{}".format),
)
SUBNETS = st.one_of(
    IDS,
    CIDRS,
    IDS.map("id:{}".format),
    CIDRS.map("cidr:{}".format),
    WORDS.map("name:{}".format),
    SPACES.map("space:{}".format),
    VIDS.map("vid:{}".format),
    VLANS.map("vlan:{}".format),
    FABRICS.map("fabric:{}".format),
)
VALUES = {
    "id": IDS,
    "name": WORDS,
    "hostname": WORDS,
    "type": st.sampled_from(("physical", "bond", "bridge", "vlan", "unknown")),
    "fabric_class": WORDS,
    "fabric": FABRICS,
    "vlan": VLANS,
    "vid": VIDS,
    "subnet": SUBNETS,
    "subnet_cidr": CIDRS,
    "space": SPACES,
    "tag": st.lists(WORDS, min_size=1, max_size=3).map("&&".join),
    "link_speed": IDS,
}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    key = draw(st.sampled_from(sorted(VALUES)))
    values = tuple(draw(st.lists(VALUES[key], min_size=1, max_size=3, unique=True)))
    return Condition(key=key, values=values, negated=key != "link_speed" and draw(st.booleans()))


@st.composite
def nics(draw: st.DrawFn, number: int) -> NicRequirement:
    found = draw(st.lists(conditions(), max_size=4, unique_by=lambda one: (one.key, one.negated)))
    nic = NicRequirement(label=f"{draw(st.sampled_from('abc'))}{number}", conditions=tuple(found))
    how = draw(st.sampled_from(("plain", "unconfigured", "ip"))) if found else "unconfigured"
    if how == "ip" and not any(one.key.startswith("subnet") and not one.negated for one in found):
        return evolve(nic, ip=str(draw(st.ip_addresses(v=4))))
    return evolve(nic, configured=how != "unconfigured")


def text_of(nic: NicRequirement) -> str:
    pairs = [f"{'not_' if one.negated else ''}{one.key}={value}" for one in nic.conditions for value in one.values]
    pairs += [f"ip={nic.ip}"] if nic.ip else []
    pairs += [] if nic.configured else ["mode=unconfigured"]
    return f"{nic.label}:{','.join(pairs)}"


@pytest.mark.slow
@given(st.integers(1, 5).flatmap(lambda count: st.tuples(*(nics(number) for number in range(count)))))
def test_well_formed_text_parses_to_its_meaning(parsed_nics: tuple[NicRequirement, ...]) -> None:
    assert parse_interfaces(";".join(text_of(nic) for nic in parsed_nics)) == parsed_nics
    referenced_networks(parsed_nics)


KEYS = ("space", "subnet", "vlan", "vid", "ip", "mode", "fabric", "id", "tag", "not_", "type", "link_speed")
VALUE_PIECES = ("10.1.0.0/24", "fd00::1", "a", "0", "9" * 30, "untagged", "\x00", "é", "٣")
PIECES = (*KEYS, *VALUE_PIECES, *":=,;/", "&&")


@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=20).map("".join)))
def test_any_text_parses_or_is_rejected(text: str) -> None:
    parsed_nics, problems = parsed(text)
    assert list(problems) in ([], ["interfaces"])
    assert parse_interfaces(";".join(text_of(nic) for nic in parsed_nics)) == parsed_nics


def parsed(text: str) -> tuple[tuple[NicRequirement, ...], Mapping[str, list[str]]]:
    try:
        return parse_interfaces(text), {}
    except InvalidRequest as error:
        return (), error.fields

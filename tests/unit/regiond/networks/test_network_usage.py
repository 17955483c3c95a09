"""Which addresses of a subnet are taken and which are free."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from regiond.networks.ipam.usage import free_addresses, taken_addresses, usable_addresses
from regiond.networks.model import IpRange, UsedAddress
from tests.unit.support.network_samples import IP_RANGE, IPV6_SUBNET, SUBNET

BARE = evolve(SUBNET, gateway_ip=None, dns_servers=())


def range_of(start: str, end: str, type: str = "reserved") -> IpRange:
    return evolve(IP_RANGE, start_ip=ip_address(start), end_ip=ip_address(end), type=type)


def used(*addresses: str) -> tuple[UsedAddress, ...]:
    return tuple(UsedAddress(address=ip_address(address), machine="wdpx3n") for address in addresses)


@pytest.mark.parametrize(
    ("cidr", "first", "last", "count"),
    [
        ("10.1.0.0/24", "10.1.0.1", "10.1.0.254", 254),
        ("10.1.0.0/31", "10.1.0.0", "10.1.0.1", 2),
        ("10.1.0.7/32", "10.1.0.7", "10.1.0.7", 1),
        ("2001:db8::/64", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", 2**64 - 1),
    ],
)
def test_network_and_broadcast_addresses_are_not_usable(cidr: str, first: str, last: str, count: int) -> None:
    span = usable_addresses(evolve(BARE, cidr=ip_network(cidr)))
    assert (str(span.start), str(span.end), span.count) == (first, last, count)


def test_an_unused_subnet_is_one_free_span() -> None:
    for subnet in (BARE, IPV6_SUBNET):
        assert [(one.start, one.end) for one in free_addresses(subnet, (), ())] == [
            (usable_addresses(subnet).start, usable_addresses(subnet).end)
        ]
        assert taken_addresses(subnet, (), ()) == ()


def test_adjacent_addresses_of_one_purpose_are_one_span() -> None:
    found = taken_addresses(
        BARE, (range_of("10.1.0.9", "10.1.0.12", "dynamic"),), used("10.1.0.7", "10.1.0.8", "10.1.0.9")
    )
    assert [(str(one.start), str(one.end), one.purposes) for one in found] == [
        ("10.1.0.7", "10.1.0.8", ("assigned-ip",)),
        ("10.1.0.9", "10.1.0.9", ("assigned-ip", "dynamic")),
        ("10.1.0.10", "10.1.0.12", ("dynamic",)),
    ]


def test_addresses_outside_the_subnet_do_not_count() -> None:
    subnet = evolve(BARE, dns_servers=(ip_address("9.9.9.9"), ip_address("2001:db8::1")))
    assert taken_addresses(subnet, (range_of("10.1.0.0", "10.1.0.0"), range_of("10.1.0.255", "10.1.1.9")), ()) == ()


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=6),
    st.lists(st.integers(0, 255), max_size=6),
)
def test_taken_and_free_spans_cover_each_address_once(ranges: list[tuple[int, int]], hosts: list[int]) -> None:
    base = ip_address("10.1.0.0")
    given_ranges = [range_of(str(base + min(pair)), str(base + max(pair))) for pair in ranges]
    addresses = used(*(str(base + host) for host in hosts))
    spans = [*taken_addresses(BARE, given_ranges, addresses), *free_addresses(BARE, given_ranges, addresses)]
    numbers = sorted(number for one in spans for number in range(int(one.start), int(one.end) + 1))
    assert numbers == list(range(int(base) + 1, int(base) + 255))
    left = {
        number
        for one in free_addresses(BARE, given_ranges, addresses)
        for number in range(int(one.start), int(one.end) + 1)
    }
    assert left.isdisjoint(int(one.address) for one in addresses)

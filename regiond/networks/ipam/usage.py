"""Computes which addresses of a subnet are taken and which are free. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

from attrs import frozen

from regiond.networks.model import Address, IpRange, Subnet, UsedAddress

ASSIGNED = "assigned-ip"
GATEWAY = "gateway-ip"
DNS_SERVER = "dns-server"

_Part = tuple[int, int, str]


@frozen(kw_only=True)
class AddressSpan:
    """Addresses from `start` to `end`, both included; free if there are no `purposes`."""

    start: Address
    end: Address
    purposes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return int(self.end) - int(self.start) + 1


def usable_addresses(subnet: Subnet) -> AddressSpan:
    """All addresses without those of the network and of broadcast."""
    network = subnet.cidr
    first, last = network[0], network[-1]
    if network.num_addresses > 2:
        first += 1
        last -= int(network.version == 4)
    return AddressSpan(start=first, end=last)


def taken_addresses(subnet: Subnet, ranges: Iterable[IpRange], used: Iterable[UsedAddress]) -> tuple[AddressSpan, ...]:
    """The usable addresses that are taken, in order. Adjacent addresses with the same purposes are one span."""
    return tuple(span for span in _spans(subnet, ranges, used) if span.purposes)


def free_addresses(subnet: Subnet, ranges: Iterable[IpRange], used: Iterable[UsedAddress]) -> tuple[AddressSpan, ...]:
    """The usable addresses that are free, in order."""
    return tuple(span for span in _spans(subnet, ranges, used) if not span.purposes)


def _spans(subnet: Subnet, ranges: Iterable[IpRange], used: Iterable[UsedAddress]) -> Sequence[AddressSpan]:
    """All usable addresses, cut where purposes begin and end."""
    whole = usable_addresses(subnet)
    first, last = int(whole.start), int(whole.end)
    changes: dict[int, list[tuple[str, int]]] = {first: []}
    for start, end, purpose in _parts(subnet, ranges, used):
        if start <= last and end >= first:
            changes.setdefault(max(start, first), []).append((purpose, 1))
            changes.setdefault(min(end, last) + 1, []).append((purpose, -1))
    cuts = sorted(changes)
    purposes: Counter[str] = Counter()
    spans: list[AddressSpan] = []
    for at, until in zip(cuts, [*cuts[1:], last + 1], strict=True):
        for purpose, step in changes[at]:
            purposes[purpose] += step
        if at <= last:
            found = tuple(sorted(+purposes))
            begin = spans.pop().start if spans and spans[-1].purposes == found else _address(subnet, at)
            spans.append(AddressSpan(start=begin, end=_address(subnet, until - 1), purposes=found))
    return spans


def _parts(subnet: Subnet, ranges: Iterable[IpRange], used: Iterable[UsedAddress]) -> Iterator[_Part]:
    for one in ranges:
        yield int(one.start_ip), int(one.end_ip), one.type
    single = [(one.address, ASSIGNED) for one in used]
    single += [(server, DNS_SERVER) for server in subnet.dns_servers]
    if subnet.gateway_ip is not None:
        single.append((subnet.gateway_ip, GATEWAY))
    for address, purpose in single:
        if address.version == subnet.cidr.version:
            yield int(address), int(address), purpose


def _address(subnet: Subnet, number: int) -> Address:
    return ip_address(number.to_bytes(4 if subnet.cidr.version == 4 else 16))

"""Addresses of a MAAS that something else than an imported machine has, from its answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from common.maas.inventory import Machine, ReservedAddress
from common.maas.wording import normalised_mac
from regiond.maas.source.answers import Answers, inner, number, required, text

_IN_USE = frozenset({0, 1, 4, 5})  # of `alloc_type`: automatic, fixed, of a user, of DHCP; not what was only discovered


def reserved(answers: Answers, machines: Iterable[Machine]) -> tuple[ReservedAddress, ...]:
    """The addresses in use that are no link of these machines, each once. The API lists them by subnet."""
    linked = {link.ip for machine in machines for nic in machine.nics for link in nic.links}
    found = {
        required(one, "ip"): ReservedAddress(
            ip=required(one, "ip"),
            subnet=text(inner(one, "subnet"), "cidr"),
            mac_address=normalised_mac(text(one, "mac_address")),
            comment=text(one, "comment"),
        )
        for one in answers.reserved_ips
    }
    for cidr, addresses in answers.addresses.items():
        for one in addresses:
            ip = text(one, "ip")
            if ip and number(one, "alloc_type", -1) in _IN_USE:
                holder = text(inner(one, "node_summary"), "hostname")
                found.setdefault(ip, ReservedAddress(ip=ip, subnet=cidr, user=text(one, "user"), holder=holder))
    return tuple(one for ip, one in found.items() if ip not in linked)

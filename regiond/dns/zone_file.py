"""Writes zone files (RFC 1035): static names, and the names of machines with their addresses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from attrs import frozen

from regiond.dns.model import DEFAULT_TTL_S, ORIGIN, Address, DnsName, Domain, record_type


@frozen(kw_only=True)
class MachineName:
    """The name of a machine and the addresses that it has now."""

    hostname: str
    addresses: tuple[Address, ...]


def zone_file(domain: Domain, names: Iterable[DnsName], machines: Iterable[MachineName], *, now: datetime) -> str:
    """Returns the text. A name that is static and a machine's has the addresses of both, each once.

    `localhost.` is the name server: whoever loads the file sets the real one. The serial is the time in seconds.
    """
    records: dict[tuple[str, str, str], str] = {}  # the line by name, type and data
    for one in names:
        for address in one.addresses:
            _add(records, one.name, address, one.ttl_s)
    for machine in machines:
        for address in machine.addresses:
            if not (address.is_link_local or address.is_loopback):
                _add(records, machine.hostname, address, None)
    ttl_s = DEFAULT_TTL_S if domain.ttl_s is None else domain.ttl_s
    return "\n".join([*_head(domain, ttl_s, int(now.timestamp())), *(records[key] for key in sorted(records)), ""])


def _head(domain: Domain, ttl_s: int, serial: int) -> Iterator[str]:
    yield f"; {domain.name}: static names and machines of Innkeeper"
    yield f"$ORIGIN {domain.name}."
    yield f"$TTL {ttl_s}"
    yield f"{ORIGIN} IN SOA localhost. nobody.localhost. ( {serial} 600 1800 604800 {ttl_s} )"
    yield f"{ORIGIN} IN NS localhost."


def _add(records: dict[tuple[str, str, str], str], name: str, address: Address, ttl_s: int | None) -> None:
    kind, ttl = record_type(address), "" if ttl_s is None else f" {ttl_s}"
    records.setdefault((name, kind, str(address)), f"{name}{ttl} IN {kind} {address}")

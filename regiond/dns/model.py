"""Domains and DNS names with addresses: values, the rules of names, and zone files (RFC 1035). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

from common.errors import InvalidRequest

Address = IPv4Address | IPv6Address

DEFAULT_DOMAIN_ID = 0
MAX_NAME = 253
DEFAULT_TTL_S = 30  # of zone files: addresses of machines change when they boot
MAX_TTL_S = 604800  # a week
MAX_ADDRESSES = 100  # of one name
ORIGIN = "@"  # the name of the domain itself
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_NAME = re.compile(rf"@|(?:\*\.)?{_LABEL}(?:\.{_LABEL})*|\*", re.ASCII)


@frozen(kw_only=True)
class Domain:
    """A domain. `ttl_s` None: that of the zone file. `record_count` counts the addresses of its static names."""

    id: int
    name: str
    authoritative: bool = True
    ttl_s: int | None = None
    record_count: int = 0

    @property
    def is_default(self) -> bool:
        """Whether the machines are in it."""
        return self.id == DEFAULT_DOMAIN_ID


@frozen(kw_only=True)
class DomainChange:
    """The fields to change; None leaves a field as it is."""

    name: str | None = None
    authoritative: bool | None = None
    ttl_s: int | None = None


@frozen(kw_only=True)
class DnsName:
    """A static name (`@` is that of the domain itself) with its addresses."""

    id: int
    name: str
    domain_id: int
    domain: str
    ttl_s: int | None = None
    addresses: tuple[Address, ...] = ()

    @property
    def fqdn(self) -> str:
        return self.domain if self.name == ORIGIN else f"{self.name}.{self.domain}"

    def has_type(self, rrtype: str) -> bool:
        """Whether it has records of this type; only addresses have any."""
        return any(record_type(address) == rrtype.upper() for address in self.addresses)


@frozen(kw_only=True)
class DnsNameChange:
    """The fields to change; None leaves a field as it is. `fqdn` wins over `name` and `domain`."""

    fqdn: str | None = None
    name: str | None = None
    domain: str | None = None
    ttl_s: int | None = None
    addresses: tuple[Address, ...] | None = None


@frozen(kw_only=True)
class DnsFilter:
    """Names that match all that is not None."""

    fqdn: str | None = None
    name: str | None = None
    domain: str | None = None
    rrtype: str | None = None


def record_type(address: Address) -> str:
    return "A" if address.version == 4 else "AAAA"


def check_domain_name(name: str) -> str:
    """Returns the name in lower case, without a final dot. Raises InvalidRequest for the field `name`."""
    wanted = name.strip().lower().removesuffix(".")
    if len(wanted) > MAX_NAME or _DOMAIN.fullmatch(wanted) is None:
        raise InvalidRequest.of({"name": [f"{name!r} is not a domain name such as lab.example."]})
    return wanted


def check_record_name(name: str, domain: str) -> str:
    """Returns the name of a record in that domain, in lower case. Raises InvalidRequest for the field `name`."""
    wanted = name.strip().lower()
    if len(wanted) + 1 + len(domain) > MAX_NAME or _NAME.fullmatch(wanted) is None:
        raise InvalidRequest.of(
            {"name": [f"{name!r} is not a DNS name: use labels of letters, digits, hyphens and underscores, or @."]}
        )
    return wanted


def split_fqdn(fqdn: str, domains: Iterable[Domain]) -> tuple[str, Domain]:
    """Returns the name and its domain, the longest that fits. Raises InvalidRequest for the field `fqdn`."""
    wanted = fqdn.strip().lower().removesuffix(".")
    known = tuple(domains)
    fitting = [one for one in known if wanted == one.name or wanted.endswith(f".{one.name}")]
    if not fitting:
        listed = ", ".join(sorted(one.name for one in known)[:10])
        raise InvalidRequest.of({"fqdn": [f"{fqdn!r} is in no known domain; there are {listed}."]})
    domain = max(fitting, key=lambda one: len(one.name))
    return wanted.removesuffix(domain.name).removesuffix(".") or ORIGIN, domain


def parse_addresses(texts: Iterable[str]) -> tuple[Address, ...]:
    """Returns the addresses in texts, each with any number of them between blanks or commas, without repetitions.

    Raises InvalidRequest for the field `ip_addresses`.
    """
    found: dict[Address, None] = {}
    problems = []
    for word in " ".join(texts).replace(",", " ").split():
        try:
            address = ip_address(word)
        except ValueError:
            problems.append(f"{word[:60]!r} is not an IP address.")
            continue
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            problems.append(f"{word[:60]!r} has a zone, which DNS does not know.")
        found[address] = None
    if len(found) > MAX_ADDRESSES:
        problems.append(f"A name has at most {MAX_ADDRESSES} addresses, not {len(found)}.")
    if problems:
        raise InvalidRequest.of({"ip_addresses": problems[:10]})
    return tuple(found)


@frozen(kw_only=True)
class MachineName:
    """The name of a machine and the addresses that it has now."""

    hostname: str
    addresses: tuple[Address, ...]


def zone_file(domain: Domain, names: Iterable[DnsName], machines: Iterable[MachineName], *, now: datetime) -> str:
    """Returns the text with static names and the names of machines.

    A name that is static and a machine's has the addresses of both, each once.

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

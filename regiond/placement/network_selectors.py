"""Parses references to a VLAN, subnet, fabric or space: `101`, `id:5001`, `space:dmz` …"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from attrs import frozen

from common.values import MAX_VID
from regiond.placement.requirements import NO_SPACE, Condition, NamedNetwork, NetworkType, NicRequirement

MAX_ID = 2**31 - 1
UNTAGGED = "untagged"

_MAX_PREFIXES = 3  # `subnet=vlan:fabric:name:x`; a longer chain only repeats itself
_PREFIXES: Mapping[NetworkType, frozenset[str]] = {
    "fabric": frozenset({"id", "name", "class"}),
    "space": frozenset({"id", "name"}),
    "vlan": frozenset({"id", "vid", "name", "fabric", "space", "subnet"}),
    "subnet": frozenset({"id", "cidr", "ip", "name", "vid", "vlan", "fabric", "space"}),
}
_WITHIN: Mapping[str, NetworkType] = {"fabric": "fabric", "space": "space", "vlan": "vlan", "subnet": "subnet"}
_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)
_LIKE_A_CIDR = re.compile(r"[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*/[0-9]+", re.ASCII)


@frozen(kw_only=True)
class Selector:
    """Selects networks of the type `of`: those with `value` as their `by` (`id`, `name`, `vid`, `cidr`, `class`).

    By `ip` it selects the subnet that contains the address, by `none` the lack of a space, by `within` everything in
    what the selector `within` selects. Values are canonical: no leading zeros, VID `0` for `untagged`.
    """

    of: NetworkType
    by: str
    value: str = ""
    within: Selector | None = None


@lru_cache(maxsize=10_000)  # the same few texts are compared with every interface of every host
def parse_selector(of: NetworkType, text: str) -> Selector:
    """Raises ValueError, whose text continues a sentence that begins with `text`: "is not …"."""
    return _parse(of, text, _MAX_PREFIXES)


@lru_cache(maxsize=10_000)
def parse_cidr(text: str) -> IPv4Network | IPv6Network:
    """Raises ValueError with what is wrong with the CIDR."""
    if "/" not in text:
        raise ValueError("is not a CIDR such as 10.1.0.0/24")
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"is not a CIDR: {error}") from error


def canonical_address(text: str) -> str:
    """Returns the IP address in canonical form. Raises ValueError."""
    try:
        found = str(ip_address(text))
    except ValueError:
        raise ValueError("is not an IP address") from None
    if "%" in found:
        raise ValueError("has a zone index, so it is valid on one link only")
    return found


def canonical_number(text: str, most: int = MAX_ID) -> str:
    """Returns the number without leading zeros. Raises ValueError unless it is a whole number from 0 to `most`."""
    if not _DIGITS.fullmatch(text) or int(text) > most:
        raise ValueError(f"is not a whole number from 0 to {most}")
    return str(int(text))


def canonical_vid(text: str) -> str:
    """Raises ValueError."""
    if text == UNTAGGED:
        return "0"
    try:
        return canonical_number(text, MAX_VID)
    except ValueError:
        raise ValueError(f"is not a VID: 0 to {MAX_VID}, or {UNTAGGED}") from None


def referenced_networks(nics: Iterable[NicRequirement]) -> tuple[NamedNetwork, ...]:
    """Returns every fabric, space, VLAN and subnet that the conditions name, also negated, in their order.

    A caller with database access checks that they exist: an unknown name is an error in the request, not something
    that a host lacks. `space=undefined` and VID 0 need no row and are not included.
    """
    return tuple(
        NamedNetwork(of=inner.of, by=inner.by, value=inner.value, label=nic.label, text=_text(condition, value))
        for nic in nics
        for condition in nic.conditions
        for value in condition.values
        for inner in _innermost(condition.key, value)
    )


def selector_of_key(key: str, value: str) -> Selector | None:
    """Returns what the value of a condition selects; None for keys that do not name networks. Raises ValueError."""
    if key in ("fabric", "space", "vlan", "subnet"):
        return parse_selector(key, value)
    if key == "vid":
        return parse_selector("vlan", f"vid:{value}")
    if key == "subnet_cidr":
        return parse_selector("subnet", f"cidr:{value}")
    return parse_selector("fabric", f"class:{value}") if key == "fabric_class" else None


def _innermost(key: str, value: str) -> Iterable[Selector]:
    found = selector_of_key(key, value)
    while found is not None and found.within is not None:
        found = found.within
    if found is not None and found.by != "none" and (found.by, found.value) != ("vid", "0"):
        yield found


def _text(condition: Condition, value: str) -> str:
    return f"{'not_' if condition.negated else ''}{condition.key}={value}"


def _parse(of: NetworkType, text: str, prefixes: int) -> Selector:
    prefix, colon, rest = text.partition(":")
    if not colon or prefix not in _PREFIXES[of]:
        return _parse_plain(of, text)
    if not rest:
        raise ValueError(f"has nothing after {prefix}:")
    if prefix == "vid" and of == "subnet":
        return Selector(of=of, by="within", within=Selector(of="vlan", by="vid", value=canonical_vid(rest)))
    inner = _WITHIN.get(prefix)
    if inner is not None:
        if prefixes == 1:
            raise ValueError(f"has more than {_MAX_PREFIXES} prefixes")
        return Selector(of=of, by="within", within=_parse(inner, rest, prefixes - 1))
    return Selector(of=of, by=prefix, value=_CANONICAL[prefix](rest))


def _parse_plain(of: NetworkType, text: str) -> Selector:
    if of == "space" and text == NO_SPACE:
        return Selector(of=of, by="none")
    is_number = text.isascii() and text.isdecimal()
    if of == "vlan" and (text == UNTAGGED or is_number):
        return Selector(of=of, by="vid", value=canonical_vid(text))
    if is_number:
        return Selector(of=of, by="id", value=canonical_number(text))
    if of == "subnet" and _LIKE_A_CIDR.fullmatch(text):
        return Selector(of=of, by="cidr", value=str(parse_cidr(text)))
    return Selector(of=of, by="name", value=text)


_CANONICAL: Mapping[str, Callable[[str], str]] = {
    "id": canonical_number,
    "vid": canonical_vid,
    "cidr": lambda text: str(parse_cidr(text)),
    "ip": canonical_address,
    "name": str,
    "class": str,
}

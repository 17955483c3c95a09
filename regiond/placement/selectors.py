"""How a constraint names a VLAN, a subnet, a fabric or a space: `101`, `id:5001`, `space:dmz`, `10.1.0.0/24`, …"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Literal

from attrs import frozen

from common.values import HIGHEST_VID
from regiond.networks.model import NO_SPACE, Network
from regiond.placement.model import Condition, NicWish

Of = Literal["fabric", "space", "vlan", "subnet"]

MAX_ID = 2**31 - 1
UNTAGGED = "untagged"

_MAX_PREFIXES = 3  # `subnet=vlan:fabric:name:x`; more only goes round in circles
_PREFIXES: Mapping[Of, frozenset[str]] = {
    "fabric": frozenset({"id", "name", "class"}),
    "space": frozenset({"id", "name"}),
    "vlan": frozenset({"id", "vid", "name", "fabric", "space", "subnet"}),
    "subnet": frozenset({"id", "cidr", "ip", "name", "vid", "vlan", "fabric", "space"}),
}
_WITHIN: Mapping[str, Of] = {"fabric": "fabric", "space": "space", "vlan": "vlan", "subnet": "subnet"}
_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)
_LIKE_A_CIDR = re.compile(r"[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*/[0-9]+", re.ASCII)


@frozen(kw_only=True)
class Selector:
    """Which `of` is meant: that with `value` as its `by` (`id`, `name`, `vid`, `cidr`, `class`).

    By `ip` it is the subnet that holds the address, by `none` the lack of a space; by `within` whatever is in what the
    selector `within` picks. Values are canonical: numbers without leading zeros, VID `0` for `untagged`.
    """

    of: Of
    by: str
    value: str = ""
    within: Selector | None = None


@frozen(kw_only=True)
class NamedNetwork:
    """A fabric, space, VLAN or subnet that a constraint names: `by` `id`, `name`, `vid`, `cidr`, `class` or `ip`.

    `text` is the pair as it was written, such as `not_space=dmz`, for the message; `label` is of its card.
    """

    of: Of
    by: str
    value: str
    label: str
    text: str


@lru_cache(maxsize=10_000)  # the same few texts for every interface of every host
def selector(of: Of, text: str) -> Selector:
    """Raises ValueError, whose text goes on after what was parsed: "is not …"."""
    return _selector(of, text, _MAX_PREFIXES)


@lru_cache(maxsize=10_000)
def network(text: str) -> Network:
    """Raises ValueError that says what is wrong with the CIDR."""
    if "/" not in text:
        raise ValueError("is no CIDR such as 10.1.0.0/24")
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"is no CIDR: {error}") from error


def address(text: str) -> str:
    """The IP address in its canonical text. Raises ValueError."""
    try:
        found = str(ip_address(text))
    except ValueError:
        raise ValueError("is no IP address") from None
    if "%" in found:
        raise ValueError("is an address of one link only")
    return found


def number(text: str, most: int = MAX_ID) -> str:
    """Raises ValueError unless it is a whole number from 0 to `most`."""
    if not _DIGITS.fullmatch(text) or int(text) > most:
        raise ValueError(f"is not a whole number from 0 to {most}")
    return str(int(text))


def vid(text: str) -> str:
    if text == UNTAGGED:
        return "0"
    try:
        return number(text, HIGHEST_VID)
    except ValueError:
        raise ValueError(f"is no VID: 0 to {HIGHEST_VID}, or {UNTAGGED}") from None


def names_in(nics: Iterable[NicWish]) -> tuple[NamedNetwork, ...]:
    """Every fabric, space, VLAN and subnet that the conditions name, the negated ones too, in their order.

    A name that is nowhere in the region is a mistake of whoever asked, not something that hosts lack: who has the
    database checks these first. What needs no row is left out: `space=undefined` and the VID 0.
    """
    return tuple(
        NamedNetwork(of=inner.of, by=inner.by, value=inner.value, label=nic.label, text=_text(condition, value))
        for nic in nics
        for condition in nic.conditions
        for value in condition.values
        for inner in _named(condition.key, value)
    )


def of_key(key: str, value: str) -> Selector | None:
    """What a condition's value selects; None for keys that are not about networks. Raises ValueError."""
    if key in ("fabric", "space", "vlan", "subnet"):
        return selector(key, value)
    if key == "vid":
        return selector("vlan", f"vid:{value}")
    if key == "subnet_cidr":
        return selector("subnet", f"cidr:{value}")
    return selector("fabric", f"class:{value}") if key == "fabric_class" else None


def _named(key: str, value: str) -> Iterable[Selector]:
    found = of_key(key, value)
    while found is not None and found.within is not None:
        found = found.within
    if found is not None and found.by != "none" and (found.by, found.value) != ("vid", "0"):
        yield found


def _text(condition: Condition, value: str) -> str:
    return f"{'not_' if condition.negated else ''}{condition.key}={value}"


def _selector(of: Of, text: str, prefixes: int) -> Selector:
    prefix, colon, rest = text.partition(":")
    if not colon or prefix not in _PREFIXES[of]:
        return _plain(of, text)
    if not rest:
        raise ValueError(f"says nothing after {prefix}:")
    if prefix == "vid" and of == "subnet":
        return Selector(of=of, by="within", within=Selector(of="vlan", by="vid", value=vid(rest)))
    inner = _WITHIN.get(prefix)
    if inner is not None:
        if prefixes == 1:
            raise ValueError(f"has more than {_MAX_PREFIXES} prefixes")
        return Selector(of=of, by="within", within=_selector(inner, rest, prefixes - 1))
    return Selector(of=of, by=prefix, value=_CANONICAL[prefix](rest))


def _plain(of: Of, text: str) -> Selector:
    if of == "space" and text == NO_SPACE:
        return Selector(of=of, by="none")
    is_number = text.isascii() and text.isdecimal()
    if of == "vlan" and (text == UNTAGGED or is_number):
        return Selector(of=of, by="vid", value=vid(text))
    if is_number:
        return Selector(of=of, by="id", value=number(text))
    if of == "subnet" and _LIKE_A_CIDR.fullmatch(text):
        return Selector(of=of, by="cidr", value=str(network(text)))
    return Selector(of=of, by="name", value=text)


_CANONICAL: Mapping[str, Callable[[str], str]] = {
    "id": number,
    "vid": vid,
    "cidr": lambda text: str(network(text)),
    "ip": address,
    "name": str,
    "class": str,
}

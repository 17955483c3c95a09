"""Parses the interface constraint: `label:key=value,…` for each NIC, joined by semicolons."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from ipaddress import ip_address

from attrs import frozen

from common.errors import InvalidRequest
from regiond.placement.network_selectors import canonical_address, canonical_number, parse_cidr, selector_of_key
from regiond.placement.requirements import Condition, NicRequirement

FIELD = "interfaces"
MAX_NICS = 16
MAX_CONDITIONS = 64  # key/value pairs of one NIC
MAX_TEXT = 16384
MAX_LABEL = 64
MAX_NIC_NAME_BYTES = 15  # Linux: IFNAMSIZ - 1
TYPES = ("physical", "bond", "bridge", "vlan", "unknown")
UNCONFIGURED = "unconfigured"

_FORMAT = "<label>:<key>=<value>[,<key2>=<value2>[,...]]"
_NEGATABLE = frozenset(
    {
        "id",
        "name",
        "hostname",
        "type",
        "fabric_class",
        "fabric",
        "vlan",
        "vid",
        "subnet",
        "subnet_cidr",
        "space",
        "tag",
    }
)
_KEYS = _NEGATABLE | {"link_speed", "ip", "mode"}
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
# LXD names disk devices `root` and `diskN` and rejects NICs of that name or of one letter; every guest has `lo`.
_RESERVED_NAME = re.compile(r"root|disk[0-9]+|lo|.", re.ASCII)


@frozen(kw_only=True)
class _Pair:
    key: str
    value: str
    negated: bool


def parse_interfaces(text: str) -> tuple[NicRequirement, ...]:
    """Returns the NICs in their order. Empty text, or a single character, means none.

    Raises InvalidRequest with the field `interfaces`, naming the NIC, the invalid pair and the reason.
    """
    if len(text) < 2:
        return ()
    if len(text) > MAX_TEXT:
        raise _invalid(f"The constraint has {len(text)} characters; the limit is {MAX_TEXT}.")
    parts = text.split(";")
    if len(parts) > MAX_NICS:
        raise _invalid(f"{len(parts)} interfaces requested; a machine can have {MAX_NICS}.")
    nics: list[NicRequirement] = []
    labels: dict[str, str] = {}  # by NIC name
    for part in parts:
        nic = _nic(part)
        other = labels.setdefault(nic_name(nic.label), nic.label)
        if any(nic.label == earlier.label for earlier in nics):
            raise _invalid(f"Constraint label defined more than once: '{nic.label}'")
        if other != nic.label:
            raise _invalid(f"'{other}' and '{nic.label}' both yield the NIC name {nic_name(nic.label)}.")
        nics.append(nic)
    return tuple(nics)


def nic_name(label: str) -> str:
    """Returns the NIC's name in the guest, 2 to 15 bytes: `eth0` for the label `0`, `eth-a` for the label `a`."""
    name = f"eth{int(label)}" if label.isascii() and label.isdecimal() else label
    name = f"eth-{name}" if _RESERVED_NAME.fullmatch(name) else name
    if len(name.encode()) <= MAX_NIC_NAME_BYTES:
        return name
    digits = f"{zlib.crc32(label.encode()):08x}"[-5:]
    return f"eth-{digits}-{label[-5:]}"


def _nic(part: str) -> NicRequirement:
    label, colon, rest = part.partition(":")
    if not colon or not rest:
        raise _invalid(f"Malformed constraint: '{part}' (required format: '{_FORMAT}')")
    if not _LABEL.fullmatch(label) or len(label) > MAX_LABEL:
        raise _invalid(
            f"Invalid label name: '{label}' (letters, digits, '-' and '_', beginning with a letter or digit, "
            f"at most {MAX_LABEL})"
        )
    texts = rest.split(",")
    if len(texts) > MAX_CONDITIONS:
        raise _invalid(f"{label} has {len(texts)} key/value pairs; the limit is {MAX_CONDITIONS}.")
    pairs = [_pair(one, part) for one in texts]
    for pair in pairs:
        _check(label, pair)
    values: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for pair in pairs:
        values[pair.key, pair.negated].append(pair.value)
    configured = not values.pop(("mode", False), [])
    return NicRequirement(
        label=label,
        ip=_ip(label, values.pop(("ip", False), []), values, configured=configured),
        configured=configured,
        conditions=tuple(
            Condition(key=key, values=tuple(dict.fromkeys(found)), negated=negated)
            for (key, negated), found in values.items()
        ),
    )


def _pair(text: str, part: str) -> _Pair:
    key, equals, value = text.partition("=")
    if not key or not equals or not value:
        raise _invalid(f"Malformed key/value pair in constraint: '{part}' ('{text}' is not <key>=<value>)")
    negated = key.startswith("not_")
    plain = key.removeprefix("not_")
    if negated and plain == "ip":
        raise _invalid("not_ip is not supported: ip assigns an address to the NIC and selects nothing.")
    if plain not in (_NEGATABLE if negated else _KEYS):
        raise _invalid(f"Unknown interfaces constraint: '{key}'. Choose from {', '.join(sorted(_KEYS))}.")
    return _Pair(key=plain, value=value, negated=negated)


def _check(label: str, pair: _Pair) -> None:
    """Raises InvalidRequest if the key can never have this value."""
    try:
        _check_value(pair.key, pair.value)
    except ValueError as error:
        key = f"not_{pair.key}" if pair.negated else pair.key
        raise _invalid(f"{label}: {key}='{pair.value}' {error}.") from None


def _check_value(key: str, value: str) -> None:
    if not value.isprintable():
        raise ValueError("contains unprintable characters")
    if key in ("id", "link_speed"):
        canonical_number(value)
    elif key == "ip":
        canonical_address(value)
    elif key == "type" and value not in TYPES:
        raise ValueError(f"is not an interface type; choose from {', '.join(TYPES)}")
    elif key == "mode" and value != UNCONFIGURED:
        raise ValueError(f"is not supported; the only mode is {UNCONFIGURED}")
    elif key == "tag" and not all(value.split("&&")):
        raise ValueError("has an empty tag")
    else:
        selector_of_key(key, value)


def _ip(label: str, wanted: list[str], values: dict[tuple[str, bool], list[str]], *, configured: bool) -> str | None:
    if not wanted:
        return None
    if len(wanted) > 1:
        raise _invalid(f"{label}: {len(wanted)} addresses requested ({', '.join(wanted)}); a NIC can have one.")
    if not configured:
        raise _invalid(f"{label}: ip={wanted[0]} and mode={UNCONFIGURED} exclude each other.")
    ip = canonical_address(wanted[0])
    for key in ("subnet", "subnet_cidr"):
        found = [selector_of_key(key, value) for value in values.get((key, False), [])]
        cidrs = [one.value for one in found if one is not None and one.by == "cidr"]
        if found and len(cidrs) == len(found) and not any(ip_address(ip) in parse_cidr(cidr) for cidr in cidrs):
            raise _invalid(f"{label}: ip={ip} is not in {' or '.join(cidrs)}.")
    return ip


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest.of({FIELD: [message]})

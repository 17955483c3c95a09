"""The interface constraint text: `label:key=value,…` for each card, joined by semicolons."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from ipaddress import ip_address

from attrs import frozen

from common.errors import InvalidRequest
from regiond.placement.model import Condition, NicWish
from regiond.placement.selectors import address, network, number, of_key

FIELD = "interfaces"
MAX_NICS = 16
MAX_CONDITIONS = 64  # values of one card
MAX_TEXT = 16384
MAX_LABEL = 64
MAX_CARD_NAME_BYTES = 15  # what Linux takes
TYPES = ("physical", "bond", "bridge", "vlan", "unknown")
UNCONFIGURED = "unconfigured"

_FORM = "<label>:<key>=<value>[,<key2>=<value2>[,...]]"
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
# LXD calls disks so, and takes no card of their name, nor of a single letter; `lo` is every guest's own.
_NO_CARD = re.compile(r"root|disk[0-9]+|lo|.", re.ASCII)


@frozen(kw_only=True)
class _Pair:
    key: str
    value: str
    negated: bool


def parse_interfaces(text: str) -> tuple[NicWish, ...]:
    """The cards asked for, in their order. Empty text, or a single character, asks for none.

    Raises InvalidRequest with the field `interfaces`: it names the card and the pair that is wrong, and says why.
    """
    if len(text) < 2:
        return ()
    if len(text) > MAX_TEXT:
        raise _refused(f"The constraint has {len(text)} characters; {MAX_TEXT} are the most.")
    parts = text.split(";")
    if len(parts) > MAX_NICS:
        raise _refused(f"{len(parts)} interfaces asked for; a machine can have {MAX_NICS}.")
    wishes: list[NicWish] = []
    labels: dict[str, str] = {}  # by the name of their card
    for part in parts:
        wish = _wish(part)
        other = labels.setdefault(card_name(wish.label), wish.label)
        if any(wish.label == earlier.label for earlier in wishes):
            raise _refused(f"Constraint label defined more than once: '{wish.label}'")
        if other != wish.label:
            raise _refused(f"'{other}' and '{wish.label}' would both be the card {card_name(wish.label)}.")
        wishes.append(wish)
    return tuple(wishes)


def card_name(label: str) -> str:
    """The name of the card in the guest, 2 to 15 bytes: `eth0` of the label `0`, `eth-a` of the label `a`."""
    name = f"eth{int(label)}" if label.isascii() and label.isdecimal() else label
    name = f"eth-{name}" if _NO_CARD.fullmatch(name) else name
    if len(name.encode()) <= MAX_CARD_NAME_BYTES:
        return name
    digits = f"{zlib.crc32(label.encode()):08x}"[-5:]
    return f"eth-{digits}-{label[-5:]}"


def _wish(part: str) -> NicWish:
    label, colon, rest = part.partition(":")
    if not colon or not rest:
        raise _refused(f"Malformed constraint: '{part}' (required format: '{_FORM}')")
    if not _LABEL.fullmatch(label) or len(label) > MAX_LABEL:
        raise _refused(
            f"Invalid label name: '{label}' (letters, digits, '-' and '_', beginning with a letter or digit, "
            f"at most {MAX_LABEL})"
        )
    texts = rest.split(",")
    if len(texts) > MAX_CONDITIONS:
        raise _refused(f"{label} has {len(texts)} key/value pairs; {MAX_CONDITIONS} are the most.")
    pairs = [_pair(one, part) for one in texts]
    for pair in pairs:
        _check(label, pair)
    values: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for pair in pairs:
        values[pair.key, pair.negated].append(pair.value)
    configured = not values.pop(("mode", False), [])
    return NicWish(
        label=label,
        ip=_address(label, values.pop(("ip", False), []), values, configured=configured),
        configured=configured,
        conditions=tuple(
            Condition(key=key, values=tuple(dict.fromkeys(found)), negated=negated)
            for (key, negated), found in values.items()
        ),
    )


def _pair(text: str, part: str) -> _Pair:
    key, equals, value = text.partition("=")
    if not key or not equals or not value:
        raise _refused(f"Malformed key/value pair in constraint: '{part}' ('{text}' is not <key>=<value>)")
    negated = key.startswith("not_")
    plain = key.removeprefix("not_")
    if negated and plain == "ip":
        raise _refused("not_ip: an address is given to the card, so there is nothing that it could exclude.")
    if plain not in (_NEGATABLE if negated else _KEYS):
        raise _refused(f"Unknown interfaces constraint: '{key}'. Known are {', '.join(sorted(_KEYS))}.")
    return _Pair(key=plain, value=value, negated=negated)


def _check(label: str, pair: _Pair) -> None:
    """Raises InvalidRequest when the value can never be one of its key."""
    try:
        _check_value(pair.key, pair.value)
    except ValueError as error:
        key = f"not_{pair.key}" if pair.negated else pair.key
        raise _refused(f"{label}: {key}='{pair.value}' {error}.") from None


def _check_value(key: str, value: str) -> None:
    if not value.isprintable():
        raise ValueError("holds characters that cannot be printed")
    if key in ("id", "link_speed"):
        number(value)
    elif key == "ip":
        address(value)
    elif key == "type" and value not in TYPES:
        raise ValueError(f"is no type of interface: {', '.join(TYPES)}")
    elif key == "mode" and value != UNCONFIGURED:
        raise ValueError(f"is not the one mode that there is: {UNCONFIGURED}")
    elif key == "tag" and not all(value.split("&&")):
        raise ValueError("has an empty tag")
    else:
        of_key(key, value)


def _address(
    label: str, asked: list[str], values: dict[tuple[str, bool], list[str]], *, configured: bool
) -> str | None:
    if not asked:
        return None
    if len(asked) > 1:
        raise _refused(f"{label}: {len(asked)} addresses asked for ({', '.join(asked)}); a card is given one.")
    if not configured:
        raise _refused(f"{label}: ip={asked[0]} and mode={UNCONFIGURED} exclude each other.")
    ip = address(asked[0])
    for key in ("subnet", "subnet_cidr"):
        found = [of_key(key, value) for value in values.get((key, False), [])]
        cidrs = [one.value for one in found if one is not None and one.by == "cidr"]
        if found and len(cidrs) == len(found) and not any(ip_address(ip) in network(cidr) for cidr in cidrs):
            raise _refused(f"{label}: ip={ip} is not in {' or '.join(cidrs)}.")
    return ip


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest.of({FIELD: [message]})

"""The answers of a MAAS that an inventory is made of, and safe access to their fields. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

Row = Mapping[str, Any]
Rows = tuple[Row, ...]
MAX_INNER = 5000  # objects in a field of an object, such as the VLANs of a fabric
_MAX_NUMBER = 2**63


class Malformed(Exception):
    """An answer does not have the form of MAAS's; the message names the field."""


@frozen(kw_only=True)
class Answers:
    """Each list as MAAS answers it. `parameters` by the id of a host, `instances` by the machine's `system_id`.

    `instances` has no secrets: only the instance's name and project. `user` is the owner of the API key.
    """

    user: Row
    tokens: Rows = field(repr=False)
    ssh_keys: Rows
    users: Rows
    zones: Rows
    pools: Rows
    tags: Rows
    spaces: Rows
    fabrics: Rows
    subnets: Rows
    ranges: Rows
    addresses: Mapping[str, Rows]  # by the CIDR of the subnet
    reserved_ips: Rows
    domains: Rows
    dns_resources: Rows
    hosts: Rows
    parameters: Mapping[int, Row] = field(repr=False)
    clusters: Rows
    vms: Rows
    instances: Mapping[str, InstanceName]
    machines: Rows


@frozen(kw_only=True)
class InstanceName:
    """The VM that a machine is. `name` is that of the LXD instance, or the name or UUID of the libvirt domain."""

    name: str
    project: str = ""


def rows(value: object, what: str, most: int = MAX_INNER) -> Rows:
    """Returns a list of objects. Raises Malformed, also for more than `most`."""
    if not isinstance(value, list):
        raise Malformed(f"{what} is no list of objects")
    if len(value) > most:
        raise Malformed(f"{what} has {len(value)} objects, and an import takes at most {most}")
    if not all(isinstance(each, dict) for each in value):
        raise Malformed(f"{what} is no list of objects")
    return tuple(value)


def row(value: object, what: str) -> Row:
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no object")
    return value


def text(of: Row, key: str) -> str:
    """Returns the field as text, empty if it is null or missing. Raises Malformed for a list or an object."""
    value = of.get(key)
    if value is None:
        return ""
    if isinstance(value, str) and ("\0" in value or not _is_encodable(value)):
        raise Malformed(f"{key} has characters that no text has")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise Malformed(f"{key} is no text")


def required(of: Row, key: str) -> str:
    """Raises Malformed if the field is missing or empty."""
    found = text(of, key)
    if not found:
        raise Malformed(f"{key} is missing")
    return found


def number(of: Row, key: str, default: int = 0) -> int:
    value = of.get(key)
    if value is None:
        return default
    return int(_number(value, key))


def optional_number(of: Row, key: str) -> int | None:
    return None if of.get(key) is None else number(of, key)


def fraction(of: Row, key: str, default: float) -> float:
    value = of.get(key)
    if value is None:
        return default
    return float(_number(value, key))


def flag(of: Row, key: str, *, default: bool = False) -> bool:
    value = of.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Malformed(f"{key} is neither true nor false")
    return value


def texts(of: Row, key: str) -> tuple[str, ...]:
    value = of.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Malformed(f"{key} is no list of texts")
    return tuple(value)


def inner(of: Row, key: str) -> Row:
    """Returns the object in a field, an empty one if it is null or missing."""
    value = of.get(key)
    return {} if value is None else row(value, key)


def inner_rows(of: Row, key: str) -> Rows:
    value = of.get(key)
    return () if value is None else rows(value, key)


def _number(value: object, key: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{key} is no number")
    if not abs(value) < _MAX_NUMBER:  # nor is one that is no number
        raise Malformed(f"{key} is a number that fits nothing")
    return value


def _is_encodable(text: str) -> bool:
    """JSON can have halves of characters, which no database stores."""
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)


def name_of(of: Row, key: str) -> str:
    """Returns the name of the object in a field, such as a machine's zone."""
    return text(inner(of, key), "name")

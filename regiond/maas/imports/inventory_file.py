"""The inventory as a file of compressed JSON, and as the lines in which a process hands it over. Pure."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from io import BytesIO
from ipaddress import ip_address
from typing import Any, get_args, get_type_hints

from attrs import define, field, fields

from common.bodies.bounded_json import TooMuchJson, loads
from common.errors import InvalidRequest
from common.maas.inventory import Inventory, Origin
from common.serialization import from_dict, to_dict

MAX_INVENTORY_BYTES = 128 * 2**20  # uncompressed
_MAX_VALUES = 8_000_000
_MAX_REASON = 500  # characters of a message that may name every part of a large file
# The event loop reads a line in 2 ms, and pauses.
_LINE_BYTES = 16 * 1024
MAX_OBJECT_BYTES = 512 * 1024
# For each host something is done at once; the others are only listed.
_MOST, _MOST_OTHERS = {"hosts": 2000, "clusters": 1000, "users": 10_000, "machines": 100_000}, 500_000
_WITH_IDS = (
    "zones", "pools", "tags", "spaces", "fabrics", "vlans", "subnets", "ranges", "domains", "dns_names", "users",
    "clusters", "hosts",
)  # fmt: skip


def pack(inventory: Inventory) -> bytes:
    """Returns the file. Raises InvalidRequest if it is too large."""
    packing = Packing()
    for _ in lines_of(inventory, packing):
        pass
    return packing.finish()


def unpack(packed: bytes) -> Inventory:
    """Returns the inventory of a file. Raises InvalidRequest."""
    try:
        with gzip.GzipFile(fileobj=BytesIO(packed)) as file:
            plain = file.read(MAX_INVENTORY_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidRequest.of({"inventory": [f"Not a file of gzip: {error}."]}) from error
    if len(plain) > MAX_INVENTORY_BYTES:
        raise _too_large()
    assembly = Assembly()
    try:
        for name, found in _object(loads(plain, max_values=_MAX_VALUES)).items():
            if name == "origin" or name in _kinds():  # not the part of a newer release
                assembly.add(name, [found] if name == "origin" else _list(found, name))
        return assembly.inventory()
    except InvalidRequest as error:
        raise InvalidRequest.of({"inventory": [error.message[:_MAX_REASON]]}) from error
    except TooMuchJson as error:
        raise InvalidRequest.of({"inventory": [f"An inventory of {error}."]}) from error
    except ValueError as error:
        raise InvalidRequest.of({"inventory": [f"Not an inventory of MAAS: {error}."]}) from error


def lines_of(inventory: Inventory, packing: Packing | None = None) -> Iterator[bytes]:
    """Returns lines of JSON, each with the name of a part and some of its objects; adds all to `packing`.

    Raises InvalidRequest for an object that is too large.
    """
    origin = json.dumps(to_dict(inventory.origin))
    if packing is not None:
        packing.add("origin", [origin])
    yield f'["origin", [{origin}]]\n'.encode()
    for name in _kinds():
        texts: list[str] = []
        size = 0
        for one in getattr(inventory, name):
            text = json.dumps(to_dict(one))
            if len(text) > MAX_OBJECT_BYTES:
                raise InvalidRequest.of({"inventory": [f"One of the {name} has {len(text)} bytes."]})
            if size + len(text) > _LINE_BYTES and texts:
                yield _line(name, texts, packing)
                texts, size = [], 0
            texts.append(text)
            size += len(text)
        yield _line(name, texts, packing)


def _line(name: str, texts: list[str], packing: Packing | None) -> bytes:
    if packing is not None:
        packing.add(name, texts)
    return f'["{name}", [{", ".join(texts)}]]\n'.encode()


@define
class Packing:
    """The file of an inventory, made of its parts in their order."""

    _target: BytesIO = field(factory=BytesIO, init=False)
    _size: int = field(default=0, init=False)
    _part: str = field(default="", init=False)
    _is_empty: bool = field(default=True, init=False)
    _file: gzip.GzipFile = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file = gzip.GzipFile(fileobj=self._target, mode="wb", compresslevel=6, mtime=0)

    def add(self, name: str, texts: list[str]) -> None:
        """Raises InvalidRequest if the file becomes too large."""
        if name == "origin":
            self._write(f'{{"origin": {texts[0]}')
            return
        if name != self._part:
            self._write(f'{"]" if self._part else ""}, "{name}": [')
            self._part, self._is_empty = name, True
        if texts:
            self._write(("" if self._is_empty else ", ") + ", ".join(texts))
            self._is_empty = False

    def finish(self) -> bytes:
        self._write("]}")
        self._file.close()
        return self._target.getvalue()

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_INVENTORY_BYTES:
            raise _too_large()
        self._file.write(text.encode())


@define
class Assembly:
    """An inventory that arrives by lines."""

    _parts: dict[str, list[Any]] = field(factory=dict, init=False)
    _origin: Origin | None = field(default=None, init=False)

    def add(self, name: str, objects: list[Any]) -> None:
        """Raises InvalidRequest for the first object that is none."""
        if name == "origin":
            self._origin = from_dict(objects[0], Origin)
            return
        kind, found = _kinds()[name], self._parts.setdefault(name, [])
        try:
            found.extend(from_dict(one, kind) for one in objects)
        except InvalidRequest as error:
            raise InvalidRequest(f"{name}: {error.message}") from error

    def inventory(self) -> Inventory:
        """Raises InvalidRequest if no origin has come."""
        if self._origin is None:
            raise InvalidRequest("origin: it is missing")
        return Inventory(origin=self._origin, **{name: tuple(found) for name, found in self._parts.items()})


def make_plan_possible(inventory: Inventory) -> None:
    """Raises InvalidRequest if a plan could not name its objects: too many, not of unique ids, no addresses."""
    for name in _kinds():
        number, most = len(getattr(inventory, name)), _MOST.get(name, _MOST_OTHERS)
        if number > most:
            raise InvalidRequest.of({"inventory": [f"It has {number} {name.replace('_', ' ')}; the most are {most}."]})
    addresses = [one for found in inventory.ranges for one in (found.start_ip, found.end_ip)]
    addresses += [one.ip for one in inventory.reserved_addresses]
    addresses += [one for found in inventory.dns_names for one in found.addresses]
    for text in addresses:
        try:
            ip_address(text)
        except ValueError as error:
            raise InvalidRequest.of({"inventory": [f"{text!r} is no IP address."]}) from error
    for kind in _WITH_IDS:
        ids = [one.id for one in getattr(inventory, kind)]
        if len(set(ids)) != len(ids):
            raise InvalidRequest.of({"inventory": [f"Two {kind.replace('_', ' ')} have the same id."]})
    if len({one.system_id for one in inventory.machines}) != len(inventory.machines):
        raise InvalidRequest.of({"inventory": ["Two machines have the same id."]})


@cache
def _kinds() -> Mapping[str, type]:
    """The parts that are lists, in their order, and the kinds of their objects."""
    hints = get_type_hints(Inventory)
    return {one.name: get_args(hints[one.name])[0] for one in fields(Inventory) if one.name != "origin"}


def _object(found: object) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise InvalidRequest("no object of JSON")
    return found


def _list(found: object, name: str) -> list[Any]:
    if not isinstance(found, list):
        raise InvalidRequest(f"{name}: no list")
    return found


def _too_large() -> InvalidRequest:
    return InvalidRequest.of({"inventory": [f"An inventory has at most {MAX_INVENTORY_BYTES} bytes."]})

"""The form that composes a VM, and the fields of the API that its rows make. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from common.errors import InvalidRequest
from regiond.ui.web_request import WebRequest

MOST_ROWS = 16
_NUMBER = re.compile(r"(disk|nic)(\d{1,3})-", re.ASCII)
_RANGE = re.compile(r"(\d{1,5})(?:\s*[-–]\s*(\d{1,5}))?", re.ASCII)
TEXTS = ("hostname", "host", "zone", "pool", "tags", "cores", "memory", "pinned_cores", "affinity", "anti_affinity")
NIC_FIELDS = ("name", "space", "subnet", "kind", "ip")
TICKS = ("hugepages_backed", "one_numa_node", "power_on")
# Where the form shows a problem that the API reports for one of its fields.
_PLACES: Mapping[str, str] = {"storage": "disks", "interfaces": "nics"}


@frozen(kw_only=True)
class DiskRow:
    number: int
    size: str = "8"
    pool: str = ""
    tags: str = ""


@frozen(kw_only=True)
class NicRow:
    number: int
    name: str = ""
    space: str = ""
    subnet: str = ""
    kind: str = ""
    ip: str = ""


@frozen(kw_only=True)
class ComposeForm:
    """The form as it was typed. The first disk is the one that the VM boots from."""

    values: Mapping[str, str] = field(factory=dict)
    pins: bool = False
    ticks: frozenset[str] = frozenset()
    disks: tuple[DiskRow, ...] = (DiskRow(number=0),)
    nics: tuple[NicRow, ...] = ()

    def fields(self) -> dict[str, Any]:
        """The fields of `vm-hosts/?op=compose`. Raises InvalidRequest by field of the form."""
        values = {name: self.values.get(name, "").strip() for name in TEXTS}
        found: dict[str, Any] = {name: values[name] or None for name in TEXTS}
        found["pinned_cores"] = parse_cores(values["pinned_cores"]) if self.pins else None
        if self.pins:
            found["cores"] = None
        found |= {name: "true" if name in self.ticks else None for name in TICKS}
        found["storage"] = ",".join(_storage(index, row) for index, row in enumerate(self.disks)) or None
        found["interfaces"] = ";".join(_interface(row) for row in self.nics) or None
        return found

    def changed(self, action: str) -> ComposeForm:
        """With a row more or less: `add-disk`, `add-nic`, `remove-disk-1`, `remove-nic-0`."""
        kind, _, rest = action.partition("-")
        if kind == "add" and rest == "disk" and len(self.disks) < MOST_ROWS:
            return evolve(self, disks=(*self.disks, DiskRow(number=_free(self.disks))))
        if kind == "add" and rest == "nic" and len(self.nics) < MOST_ROWS:
            free = _free(self.nics)
            return evolve(self, nics=(*self.nics, NicRow(number=free, name=f"eth{free}")))
        what, _, number = rest.partition("-")
        if kind == "remove" and what == "disk" and len(self.disks) > 1:
            return evolve(self, disks=tuple(row for row in self.disks if str(row.number) != number))
        if kind == "remove" and what == "nic":
            return evolve(self, nics=tuple(row for row in self.nics if str(row.number) != number))
        return self


def _free(rows: Sequence[DiskRow | NicRow]) -> int:
    taken = {row.number for row in rows}
    return next(number for number in range(len(rows) + 1) if number not in taken)


def read_form(request: WebRequest) -> ComposeForm:
    """From a form that was sent, else from the address of the page."""
    if request.method != "POST":
        return _from_address(request)
    numbers: dict[str, list[int]] = {"disk": [], "nic": []}
    for name in request.form:
        if (found := _NUMBER.match(name)) and int(found[2]) not in numbers[found[1]]:
            numbers[found[1]].append(int(found[2]))

    def given(kind: str, number: int, name: str) -> str:
        return request.given(f"{kind}{number}-{name}").strip()

    disks = tuple(
        DiskRow(number=number, **{name: given("disk", number, name) for name in ("size", "pool", "tags")})
        for number in numbers["disk"][:MOST_ROWS]
    )
    nics = tuple(
        NicRow(
            number=number, **{name: given("nic", number, name) for name in ("name", "space", "subnet", "kind", "ip")}
        )
        for number in numbers["nic"][:MOST_ROWS]
    )
    return ComposeForm(
        values={name: request.given(name) for name in TEXTS},
        pins=request.given("pins") == "yes",
        ticks=frozenset(name for name in TICKS if request.given(name)),
        disks=disks or (DiskRow(number=0),),
        nics=nics,
    )


def _from_address(request: WebRequest) -> ComposeForm:
    pinned = request.option("pinned_cores")
    values = {"cores": "1", "memory": "2048", "host": request.option("host"), "pinned_cores": pinned}
    return ComposeForm(values=values, pins=bool(pinned))


def parse_cores(text: str) -> list[int]:
    """`1,2,4-12` as ids. Raises InvalidRequest."""
    found: list[int] = []
    for part in (each.strip() for each in text.split(",")):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise InvalidRequest.of({"pinned_cores": ["Write ids of cores, such as 1,2,4-12."]})
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > 4096:
            raise InvalidRequest.of({"pinned_cores": [f"{part} is no range of cores."]})
        found += range(first, last + 1)
    if len(set(found)) != len(found):
        raise InvalidRequest.of({"pinned_cores": ["A core is named twice."]})
    return found


def _storage(index: int, row: DiskRow) -> str:
    if not re.fullmatch(r"\d{1,9}", row.size):
        raise InvalidRequest.of({f"disk{row.number}-size": ["Write a size in GB, such as 20."]})
    tags = [f"pool:{row.pool}"] if row.pool else []
    tags += [tag.strip() for tag in row.tags.split(",") if tag.strip()]
    label = "root" if index == 0 else f"disk{row.number}"
    return f"{label}:{row.size}" + (f"({','.join(tags)})" if tags else "")


def _interface(row: NicRow) -> str:
    name = row.name or f"eth{row.number}"
    pairs = [("space", row.space), ("subnet", row.subnet), ("type", row.kind), ("ip", row.ip)]
    chosen = ",".join(f"{key}={value}" for key, value in pairs if value)
    if not chosen:
        raise InvalidRequest.of({f"nic{row.number}-subnet": [f"Choose a space or a subnet for {name}."]})
    if any(sign in name + chosen.replace("=", "").replace(":", "") for sign in ";\n"):
        raise InvalidRequest.of({f"nic{row.number}-name": ["Leave out the semicolon."]})
    return f"{name}:{chosen}"


def problems_of(error: InvalidRequest) -> dict[str, list[str]]:
    """By field of the form; what belongs to no field is under an empty name."""
    if not error.fields:
        return {"": [error.message]}
    return {_PLACES.get(name, name if name != "__all__" else ""): texts for name, texts in error.fields.items()}

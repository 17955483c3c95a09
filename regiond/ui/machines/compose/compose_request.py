"""The fields of the API that a compose form makes, and all that is wrong with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest, NotFound
from regiond.placement.network_selectors import canonical_address
from regiond.requests.identifiers import check_hostname
from regiond.ui.machines.compose.compose_form import (
    MOST_VMS,
    PIN_COUNT,
    PIN_IDS,
    TICKS,
    ComposeForm,
    DiskRow,
    NicRow,
    disk_label,
)
from regiond.ui.texts import text

Problems = dict[str, list[str]]
_RANGE = re.compile(r"(\d{1,5})(?:\s*[-–]\s*(\d{1,5}))?", re.ASCII)
_SIZE = re.compile(r"0*[1-9]\d{0,8}", re.ASCII)
_NIC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_WORD = re.compile(r"[\w.:/]+", re.ASCII)  # an address, with the length of its prefix if it is a subnet
_NOT = "!"  # before the name of a zone, a pool or a tag: the host is not in it
# Where the form shows a problem that the API reports for one of its fields.
_PLACES: Mapping[str, str] = {
    "storage": "disks", "interfaces": "nics", "machine_zone": "vm_zone", "machine_pool": "vm_pool",
    "not_in_zone": "zone", "not_in_pool": "pool", "not_tags": "tags", "pin_cores": "cores", "__all__": "",
}  # fmt: skip
_PLAIN: Mapping[str, str] = {
    "hostname": "hostname", "host": "host", "vm_zone": "machine_zone", "vm_pool": "machine_pool",
    "architecture": "architecture", "memory": "memory", "hugepage_size": "hugepage_size", "max_cores": "max_cores",
    "max_memory": "max_memory", "template": "template", "register_in_maas": "register_in_maas", "owner": "owner",
}  # fmt: skip


@frozen(kw_only=True)
class Asked:
    """`fields` are those of `vm-hosts/?op=compose`, of which those with `problems` are left out."""

    fields: Mapping[str, Any]
    problems: Mapping[str, list[str]]


def asked_by(form: ComposeForm) -> Asked:
    """Takes or refuses everything that was typed: nothing is ignored, and nothing that is missing is guessed."""
    problems: Problems = {}
    fields: dict[str, Any] = {sent: form.text(name) or None for name, sent in _PLAIN.items()}
    fields |= _cores(form, problems)
    fields |= {name: "true" if name in form.ticks else None for name in TICKS}
    if "stock" not in form.ticks and not form.text("owner"):
        fields["stock"] = "false"  # for the user of the page
    for name, excluded in (("zone", "not_in_zone"), ("pool", "not_in_pool"), ("tags", "not_tags")):
        wanted = _names(form, name, problems)
        fields[name] = [one for one in wanted if not one.startswith(_NOT)] or None
        fields[excluded] = [one.removeprefix(_NOT).strip() for one in wanted if one.startswith(_NOT)] or None
    fields |= {name: _names(form, name, problems) or None for name in ("affinity", "anti_affinity")}
    for name, check in _CHECKS:
        if (problem := check(form)) is not None:
            problems.setdefault(name, []).append(problem)
            fields.pop(name, None)
    disks = [_disk(position, row, problems) for position, row in enumerate(form.disks)]
    fields["storage"] = ",".join(disk for disk in disks if disk) or None
    fields["interfaces"] = ";".join(nic for nic in _nics(form, problems) if nic) or None
    return Asked(fields=fields, problems=problems)


def _count_problem(form: ComposeForm) -> str | None:
    return None if form.text("count") and form.count else text("Write a whole number from 1 to {most}.", most=MOST_VMS)


def _name_problem(form: ComposeForm) -> str | None:
    """A name of digits would be read as an IP address: `ping 12` asks 0.0.0.12."""
    if form.text("hostname").isdecimal():
        return text("A name of digits only would be read as an IP address: add a letter.")
    try:
        for name in form.names:
            check_hostname(name)
    except InvalidRequest:
        if form.count > 1:
            return text("Use letters, digits and inner hyphens, at most 63 characters. The number of each VM counts.")
        return text("Use letters, digits and inner hyphens, at most 63 characters.")
    return None


def _memory_problem(form: ComposeForm) -> str | None:
    return None if form.text("memory") else text("Write the RAM in MiB, at least 1,024.")


def _numa_problem(form: ComposeForm) -> str | None:
    is_bound = form.pins in {PIN_COUNT, PIN_IDS} or "hugepages_backed" in form.ticks
    return (
        None
        if is_bound or "one_numa_node" not in form.ticks
        else text("Only for pinned cores or memory in huge pages.")
    )


def _page_size_problem(form: ComposeForm) -> str | None:
    is_used = not form.text("hugepage_size") or "hugepages_backed" in form.ticks
    return None if is_used else text("Only with memory in huge pages: tick it, or choose any size.")


_CHECKS: Sequence[tuple[str, Callable[[ComposeForm], str | None]]] = (
    ("count", _count_problem),
    ("hostname", _name_problem),
    ("memory", _memory_problem),
    ("one_numa_node", _numa_problem),
    ("hugepage_size", _page_size_problem),
)


def _cores(form: ComposeForm, problems: Problems) -> dict[str, Any]:
    """The number does not count, and is not shown, while the ids of cores are chosen."""
    if form.pins == PIN_IDS:
        try:
            return {"pinned_cores": parse_cores(form.text("pinned_cores"))}
        except InvalidRequest as error:
            problems |= error.fields
            return {}
    if form.text("pinned_cores"):
        problems["pinned_cores"] = [
            text("These count only for pinned cores with ids: choose that, or empty this field.")
        ]
    if not form.text("cores"):
        problems["cores"] = [text("Write the number of cores, at least 1.")]
    return {"pin_cores" if form.pins == PIN_COUNT else "cores": form.text("cores") or None}


def _names(form: ComposeForm, name: str, problems: Problems) -> list[str]:
    typed = form.text(name)
    found = [one.strip() for one in typed.split(",") if one.strip()]
    if typed and (not found or _NOT in found):
        problems[name] = [text("Write names, separated by commas.")]
        return []
    return found


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


def _disk(position: int, row: DiskRow, problems: Problems) -> str | None:
    if _SIZE.fullmatch(row.size) is None:
        problems[f"disk{row.number}-size"] = [text("Write a whole number of GB, at least 1.")]
    names = [tag.strip() for tag in row.tags.split(",") if tag.strip()]
    if any(sign in row.tags for sign in "()") or (row.tags and not names) or not row.tags.isprintable():
        problems[f"disk{row.number}-tags"] = [text("Write names without parentheses, separated by commas.")]
    if f"disk{row.number}-size" in problems or f"disk{row.number}-tags" in problems:
        return None
    tags = [f"pool:{row.pool}", *names] if row.pool else names
    return f"{disk_label(position, row)}:{row.size}" + (f"({','.join(tags)})" if tags else "")


def _nics(form: ComposeForm, problems: Problems) -> Iterator[str | None]:
    earlier: set[str] = set()
    for row in form.nics:
        found = dict(_nic_problems(row, earlier))
        problems |= {f"nic{row.number}-{name}": [problem] for name, problem in found.items()}
        earlier.add(row.label)
        yield None if found else f"{row.label}:{','.join(f'{key}={value}' for key, value in _pairs(row))}"


def _nic_problems(row: NicRow, earlier: set[str]) -> Iterator[tuple[str, str]]:
    if _NIC_NAME.fullmatch(row.label) is None:
        yield "name", text("Use letters, digits, '-' and '_', at most 64 characters.")
    elif row.label in earlier:
        yield "name", text("Another interface is {label} already.", label=row.label)
    if not _pairs(row):
        yield "subnet", text("Choose a space or a subnet for {label}.", label=row.label)
    if row.ip and not _is_address(row.ip):
        yield "ip", text("{ip} is no IP address.", ip=row.ip)


def _pairs(row: NicRow) -> list[tuple[str, str]]:
    pairs = ("space", row.space), ("subnet", row.subnet), ("type", row.kind), ("ip", row.ip)
    return [(key, value) for key, value in pairs if value]


def _is_address(text: str) -> bool:
    return bool(_address(text))


def _address(text: str) -> str | None:
    """The canonical form of an address; None for another text."""
    try:
        return canonical_address(text)
    except ValueError:
        return None


def problems_of(error: InnkeeperError, form: ComposeForm) -> Problems:
    """By field of the form; what belongs to no field is under an empty name."""
    if not isinstance(error, InvalidRequest) or not error.fields:
        is_host = isinstance(error, NotFound) and form.text("host") and repr(form.text("host")) in error.message
        return {"host" if is_host else "": [error.message]}
    found: Problems = {}
    for name, texts in error.fields.items():
        for problem in texts:
            found.setdefault(_place(name, problem, form), []).append(problem)
    return found


def _place(name: str, text: str, form: ComposeForm) -> str:
    """The API reports interfaces together: a problem that quotes the address of a row belongs to that row."""
    if name == "interfaces":
        quoted = {_address(word) for found in _WORD.findall(text) for word in (found, found.rstrip(".:"))} - {None}
        return next((f"nic{row.number}-ip" for row in form.nics if _address(row.ip) in quoted), _PLACES[name])
    return _PLACES.get(name, name)

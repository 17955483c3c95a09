"""Renders responses for a terminal: lists as tables, objects as names and values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from attrs import frozen
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from innkeeper import numa_table
from innkeeper.amounts import in_usual_units, with_unit
from innkeeper.terminal import printable

_DISK_LISTS = ("block-devices", "blockdevice_set", "physicalblockdevice_set")  # of machines
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "vm-hosts": ("id", "name", "type", "state", "cores", "memory", "local_storage", "pool", "zone"),
    "vm-clusters": ("id", "name", "project", "version", "vmhost_count", "vm_count", "cores", "memory", "local_storage"),
    "machines": (
        "system_id",
        "hostname",
        "status_name",
        "owner",
        "power_state",
        "cpu_count",
        "memory",
        "pod",
        "pool",
        "zone",
    ),
    "machines detached": (
        "system_id",
        "hostname",
        "host",
        "owner",
        "cpu_count",
        "memory",
        "pool",
        "zone",
        "detached_at",
    ),
    "machines forgotten": ("system_id", "hostname", "host", "guest", "virtual_machine", "forgotten_at", "username"),
    "vm-host adopt": ("guest", "system_id", "hostname", "operation", "rejected"),
    "virtual-machines": (
        "id",
        "identifier",
        "host_name",
        "project",
        "power_state",
        "cpu_count",
        "memory",
        "system_id",
        "hostname",
    ),
    "operations": ("id", "kind", "state", "step", "host_name", "system_id", "username", "created_at", "error"),
    "events": ("id", "at", "level", "kind", "host_name", "hostname", "username", "description"),
    "discrepancies": (
        "id",
        "kind",
        "host_name",
        "name",
        "found",
        "expected",
        "repair_policy",
        "remedy",
        "data_at_risk",
    ),
    "repaired": ("repaired_at", "kind", "host_name", "name", "repaired"),
    "racks": ("name", "connected", "hosts_reached", "seen_at", "certificate_expires_at", "id"),
    "zones": ("name", "description"),
    "resource-pools": ("id", "name", "strategy", "description"),
    "users": ("username", "email", "is_superuser"),
    "fabrics": ("id", "name", "class_type", "vlans", "description"),
    "vlans": ("id", "fabric", "vid", "name", "space", "mtu", "dhcp", "description"),
    "subnet": ("start", "end", "num_addresses", "purpose"),  # rows of its address listings
    "subnets": ("id", "cidr", "name", "vlan", "space", "gateway_ip", "dns_servers", "description"),
    "spaces": ("id", "name", "vlans", "subnets", "description"),
    "ipranges": ("id", "type", "start_ip", "end_ip", "subnet", "comment", "discovered"),
    "interfaces": ("id", "name", "type", "mac_address", "vlan", "links", "tags", "enabled", "attachable"),
    "interface_set": ("id", "name", "type", "mac_address", "vlan", "links", "effective_mtu"),
    "links": ("mode", "ip_address", "subnet"),
    "networks": ("name", "type", "attachable", "active", "dhcp", "cidrs"),
    "network_devices": ("ports", "product", "driver", "pci_address", "numa_node", "virtual_functions"),
    "gpus": ("product", "vendor", "driver", "pci_address", "numa_node", "virtual_functions"),
    "disks": ("label", "size", "storage_pool", "tags"),
    **dict.fromkeys(_DISK_LISTS, ("id", "name", "size", "storage_pool", "tags", "id_path")),
    "fitting": ("host", "score", "host_id"),
    "rejected": ("host", "reasons", "host_id"),
    "tried": ("host", "error", "host_id"),
    "storage_pools": ("name", "type", "total", "used", "available", "default", "path"),
}
_ALIASES = {"pods": "vm-hosts", "nodes": "machines", "pod adopt": "vm-host adopt"}
_GUESTS = ("machines", "machines detached", "virtual-machines")
_NUMA = ("vm-host numa", "pod numa")
_DEFAULT_COLUMNS = 8
_MAX_TEXT = 1000  # messages contain whole commands
_MAX_OBJECT_TEXT = 200
_WIDE = 10_000


@frozen
class Measure:
    """The unit of a column. `of_total` shows a host's `used` and `total` as `1/4`."""

    title: str
    divisor: int = 1
    digits: int = 0
    of_total: bool = False

    def text(self, value: Any) -> str:
        return f"{value / self.divisor:.{self.digits}f}" if isinstance(value, int | float) else "-"


_MEMORY, _GB = 1024, 1000**3  # the API's MiB and bytes
_CAPACITY = {
    "cores": Measure("cores", of_total=True),
    "memory": Measure("memory GiB", _MEMORY, 1, of_total=True),
    "local_storage": Measure("storage GB", _GB, 0, of_total=True),
}
_MEASURES: Mapping[tuple[str, str], Measure] = {
    **{(hosts, name): measure for hosts in ("vm-hosts", "vm-clusters") for name, measure in _CAPACITY.items()},
    **{(guests, "cpu_count"): Measure("cores") for guests in _GUESTS},
    **{(guests, "memory"): Measure("memory GiB", _MEMORY, 1) for guests in _GUESTS},
    **{(disks, "size"): Measure("size GB", _GB, 1) for disks in ("disks", *_DISK_LISTS)},
    ("storage_pools", "total"): Measure("total GB", _GB, 1),
    ("storage_pools", "used"): Measure("used GB", _GB, 1),
    ("storage_pools", "available"): Measure("available GB", _GB, 1),
}
_TITLES = {
    "status_name": "status",
    "power_state": "power",
    "host_name": "host",
    "identifier": "name",
    "certificate_expires_at": "expires at",
}
_UNBROKEN = ("system_id", "created_at", "state", "detached_at", "forgotten_at")
_AMOUNTS = {"cores", "memory", "local_storage"}
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:\+00:00|Z)", re.ASCII)


def write(plain: Any, resource: str, stream: TextIO) -> None:
    """Writes to the stream, as wide as its terminal, or as wide as the table if it is not a terminal."""
    width = None if stream.isatty() else _WIDE
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    console.print(rendered(plain, resource))


def rendered(plain: Any, resource: str) -> RenderableType:
    """Renders a response; `resource` is the command, such as `vm-hosts` or `vm-host numa`."""
    if plain in ([], {}):
        return Text("None.")
    if resource in _NUMA:
        return Group(table_of(numa_table.rows_of(plain), resource), Text(f"\n{numa_table.NOTE}"))
    if isinstance(plain, dict) and isinstance(plain.get("explanation"), dict):  # an operation or a dry run
        own = {key: value for key, value in plain.items() if key != "explanation"}
        plain = {**own, **plain["explanation"]}
    if _ALIASES.get(resource, resource) not in COLUMNS:
        resource = resource.partition(" ")[0]
    plain = in_usual_units(plain, resource)
    if isinstance(plain, list):
        return table_of(plain, _ALIASES.get(resource, resource))
    return record_of(plain) if isinstance(plain, dict) else Text(cell(plain))


def table_of(rows: Sequence[Any], resource: str) -> RenderableType:
    """Renders one row per object, without columns that are empty in all rows."""
    if not all(isinstance(row, dict) for row in rows):
        return Group(*(Text(cell(row)) for row in rows))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    columns = columns_of(rows, resource)
    for name in columns:
        measure = _MEASURES.get((resource, name))
        numbers = measure or all(type(row.get(name)) in (int, float, type(None)) for row in rows)
        heading = Text(measure.title if measure else _TITLES.get(name) or title(name))
        fixed = bool(measure) or name in _UNBROKEN
        table.add_column(heading, justify="right" if numbers else "left", overflow="fold", no_wrap=fixed)
    for row in rows:
        table.add_row(*(Text(_cell_of(row, resource, name)) for name in columns))
    return table


def columns_of(rows: Sequence[Mapping[str, Any]], resource: str) -> list[str]:
    """The keys to show: those chosen for the resource, else the first scalar ones."""
    wanted = COLUMNS.get(resource)
    if wanted is not None:
        found = [name for name in wanted if any(_present(row, resource, name) for row in rows)]
        if found:
            return found
    simple = [key for key, value in rows[0].items() if not isinstance(value, dict | list) and key != "resource_uri"]
    return (simple or list(rows[0]))[:_DEFAULT_COLUMNS]


def record_of(plain: Mapping[str, Any]) -> RenderableType:
    """Renders the name and value of each key, followed by one table per list of objects."""
    lists = {key: value for key, value in plain.items() if _is_objects(value)}
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in plain.items():
        if key not in lists:
            table.add_row(Text(title(key)), Text(with_unit(key, value) or cell(value)))
    tables = [part for key, value in lists.items() for part in (Text(f"\n{title(key)}"), table_of(value, key))]
    return Group(table, *tables)


def title(key: str) -> str:
    return _in_table(key.replace("_", " "))


def cell(value: Any) -> str:
    """A value as text: `yes` for true, the name of a named object, timestamps in seconds with Z."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return _cell_of_object(value)
        case list():
            return ", ".join(cell(each) for each in value) or "-"
    return _clipped(_in_table(_TIMESTAMP.sub(r"\1 \2Z", str(value))), _MAX_TEXT)


def _in_table(text: str) -> str:
    return printable(text, allowed="\n")


def _cell_of_object(value: Mapping[str, Any]) -> str:
    if "vid" in value and "fabric" in value:
        return _vlan(value)
    if "mode" in value and "id" in value:  # a link: its address or mode, and its subnet
        how = value.get("ip_address") or str(value["mode"]).replace("link_up", "")
        return " ".join(part for part in (how, cell(value.get("subnet") or "")) if part) or "-"
    if value.keys() >= {"id", "kind", "state"}:  # an operation
        return f"{cell(value['id'])} {cell(value['state'])}" + (
            f": {cell(value['error'])}" if value.get("error") else ""
        )
    for key in ("name", "hostname", "username", "system_id", "message"):
        if key in value:
            return cell(value[key])
    if set(value) == _AMOUNTS:
        memory, storage = (_MEASURES["vm-hosts", name].text(value[name]) for name in ("memory", "local_storage"))
        cores = "1 core" if value["cores"] == 1 else f"{cell(value['cores'])} cores"
        return f"{cores}, {memory} GiB memory, {storage} GB storage"
    parts = (f"{title(key)} {cell(each)}" for key, each in value.items() if not key.startswith("__"))
    return _clipped(", ".join(parts), _MAX_OBJECT_TEXT) or "-"


def _vlan(vlan: Mapping[str, Any]) -> str:
    """`fabric-0/100 dmz`: VLAN names are rarely unique."""
    tag = cell(vlan["vid"]) if vlan["vid"] else "untagged"
    name = cell(vlan.get("name"))
    return cell(vlan["fabric"]) + f"/{tag}" + ("" if name in {"", "-", "untagged", tag} else f" {name}")


def _clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest or "\n" in text else f"{text[:longest]}…"


def _cell_of(row: Mapping[str, Any], resource: str, name: str) -> str:
    measure = _MEASURES.get((resource, name))
    if measure is None:
        return cell(row.get(name))
    if measure.of_total:
        used, total = (_part(row, part, name) for part in ("used", "total"))
        return f"{measure.text(used)}/{measure.text(total)}"
    return measure.text(row.get(name))


def _present(row: Mapping[str, Any], resource: str, name: str) -> bool:
    measure = _MEASURES.get((resource, name))
    return (_part(row, "total", name) if measure and measure.of_total else row.get(name)) is not None


def _part(row: Mapping[str, Any], part: str, name: str) -> Any:
    amounts = row.get(part)
    return amounts.get(name) if isinstance(amounts, dict) else None


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)

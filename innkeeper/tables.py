"""Answers as people read them on a terminal: tables of lists, name and value of one object. No I/O but `shown`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "vm-hosts": ("id", "name", "type", "state", "cores", "memory", "local_storage", "pool", "zone", "version"),
    "machines": ("system_id", "hostname", "status_name", "power_state", "cpu_count", "memory", "pod", "pool", "zone"),
    "operations": ("id", "kind", "state", "step", "host_name", "system_id", "username", "created_at", "error_message"),
    "racks": ("id", "name", "connected", "hosts_reached", "seen_at", "certificate_expires_at"),
    "zones": ("name", "description"),
    "resource-pools": ("id", "name", "description"),
    "users": ("username", "email", "is_superuser"),
}
_SAME = {"pods": "vm-hosts", "nodes": "machines"}
_UNIT = {"cores": "", "memory": " GiB", "local_storage": " GB"}
_AMOUNTS = tuple(_UNIT)  # of a host: used of total
_OTHER_COLUMNS = 8
_LONGEST_CELL = 200
_WIDE = 10_000


def rendered(plain: Any, resource: str) -> RenderableType:
    """What an answer of `resource` looks like; `resource` is a command such as `vm-hosts`."""
    if isinstance(plain, list):
        return table_of(plain, resource) if plain else Text("Nothing.")
    if isinstance(plain, dict):
        return record_of(plain)
    return Text(cell(plain))


def shown(plain: Any, resource: str, stream: TextIO) -> None:
    """Write it to the stream, as wide as its terminal is, or as the table where there is no terminal."""
    width = None if stream.isatty() else _WIDE
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    console.print(rendered(plain, resource))


def table_of(rows: Sequence[Any], resource: str) -> RenderableType:
    """One row each. Columns that no row has are left out."""
    if not all(isinstance(row, dict) for row in rows):
        return Group(*(Text(cell(row)) for row in rows))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    columns = columns_of(rows, resource)
    for name in columns:
        numbers = all(isinstance(_value(row, name), int | float | None) for row in rows) or name in _AMOUNTS
        table.add_column(Text(title(name)), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell_of(row, name)) for name in columns))
    return table


def columns_of(rows: Sequence[Mapping[str, Any]], resource: str) -> list[str]:
    wanted = COLUMNS.get(_SAME.get(resource, resource))
    if wanted is None:
        simple = [key for key, value in rows[0].items() if not isinstance(value, dict | list) and key != "resource_uri"]
        return (simple or list(rows[0]))[:_OTHER_COLUMNS]
    found = [name for name in wanted if any(_value(row, name) is not None for row in rows)]
    return found or list(rows[0])[:_OTHER_COLUMNS]


def record_of(plain: Mapping[str, Any]) -> RenderableType:
    """Name and value of each key; lists of objects follow as tables of their own."""
    lists = {key: value for key, value in plain.items() if _is_objects(value)}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in plain.items():
        if key not in lists:
            table.add_row(Text(title(key)), Text(cell(value)))
    tables = [part for key, value in lists.items() for part in (Text(f"\n{title(key)}"), table_of(value, key))]
    return Group(table, *tables)


def title(key: str) -> str:
    return plain_text(key.replace("_", " "))


def cell(value: Any) -> str:
    """One value on one line: `yes` for true, a name for an object that has one."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return _cell_of_object(value)
        case list():
            return ", ".join(cell(each) for each in value) or "-"
    text = plain_text(str(value))
    return text if len(text) <= _LONGEST_CELL or "\n" in text else f"{text[:_LONGEST_CELL]}…"


def plain_text(text: str) -> str:
    """Without control characters: a name made elsewhere must not move the cursor of this terminal."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)


def _cell_of_object(value: Mapping[str, Any]) -> str:
    for key in ("name", "hostname", "username", "system_id"):
        if key in value:
            return cell(value[key])
    return ", ".join(f"{title(key)} {cell(each)}" for key, each in value.items() if not key.startswith("__")) or "-"


def _cell_of(row: Mapping[str, Any], name: str) -> str:
    if name in _AMOUNTS and name not in row:
        used, total = ((row.get(part) or {}).get(name) for part in ("used", "total"))
        return f"{amount(used, name)}/{amount(total, name)}{_UNIT[name]}"
    return cell(row.get(name))


def amount(value: Any, name: str) -> str:
    """Cores as they are, memory from MiB in GiB, storage from bytes in GB; `-` where it is not known."""
    if not isinstance(value, int | float):
        return "-"
    if name == "memory":
        return f"{value / 1024:.1f}"
    return f"{value / 1000**3:.0f}" if name == "local_storage" else str(value)


def _value(row: Mapping[str, Any], name: str) -> Any:
    if name in _AMOUNTS and name not in row:
        return (row.get("total") or {}).get(name)
    return row.get(name)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)

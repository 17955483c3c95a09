"""Values as text in one cell: `yes` for true, the name of a named object, timestamps in seconds with Z."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from innkeeper.output.text import printable

_MAX_TEXT = 1000  # messages contain whole commands
_MAX_OBJECT_TEXT = 200
_MIB_PER_GIB, _BYTES_PER_GB = 1024, 1000**3
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:\+00:00|Z)", re.ASCII)


def title(key: str) -> str:
    return _in_table(key.replace("_", " "))


def cell(value: Any) -> str:
    """The value as text; `-` for none."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return _cell_of_object(value)
        case list():
            return ", ".join(cell(each) for each in value) or "-"
    return _clipped(whole(str(value)), _MAX_TEXT)


def whole(text: str) -> str:
    """The text in full: a token or certificate must not be shortened."""
    return _in_table(_TIMESTAMP.sub(r"\1 \2Z", text))


def _in_table(text: str) -> str:
    return printable(text, allowed="\n")


def _cell_of_object(value: Mapping[str, Any]) -> str:
    for applies, text in _OBJECTS:
        if applies(value):
            return text(value)
    for key in ("name", "hostname", "username", "system_id", "message"):
        if key in value:
            return cell(value[key])
    parts = (f"{title(key)} {cell(each)}" for key, each in value.items() if not key.startswith("__"))
    return _clipped(", ".join(parts), _MAX_OBJECT_TEXT) or "-"


def _operation(value: Mapping[str, Any]) -> str:
    return f"{cell(value['id'])} {cell(value['state'])}" + (f": {cell(value['error'])}" if value.get("error") else "")


def _link(value: Mapping[str, Any]) -> str:
    """Its address or mode, and its subnet."""
    how = value.get("ip_address") or str(value["mode"]).replace("link_up", "")
    return " ".join(part for part in (how, cell(value.get("subnet") or "")) if part) or "-"


def _maintenance(value: Mapping[str, Any]) -> str:
    reason = f": {cell(value['reason'])}" if value["reason"] else ""
    return f"since {cell(value['since'])} by {cell(value['by'])}{reason}"


def _amounts(value: Mapping[str, Any]) -> str:
    cores = "1 core" if value["cores"] == 1 else f"{cell(value['cores'])} cores"
    memory, storage = value["memory"], value["local_storage"]
    memory_text = f"{memory / _MIB_PER_GIB:.1f}" if isinstance(memory, int | float) else "-"
    storage_text = f"{storage / _BYTES_PER_GB:.0f}" if isinstance(storage, int | float) else "-"
    return f"{cores}, {memory_text} GiB memory, {storage_text} GB storage"


def _vlan(vlan: Mapping[str, Any]) -> str:
    """`fabric-0/100 dmz`: VLAN names are rarely unique."""
    tag = cell(vlan["vid"]) if vlan["vid"] else "untagged"
    name = cell(vlan.get("name"))
    return cell(vlan["fabric"]) + f"/{tag}" + ("" if name in {"", "-", "untagged", tag} else f" {name}")


def _clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest or "\n" in text else f"{text[:longest]}…"


# By the keys that they have, the first that applies; other objects are shown by their name.
_OBJECTS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], str]], ...] = (
    (lambda value: value.keys() >= {"vid", "fabric"}, _vlan),
    (lambda value: value.keys() >= {"id", "mode"}, _link),
    (lambda value: value.keys() >= {"id", "kind", "state"}, _operation),
    (lambda value: value.keys() == {"since", "by", "reason"}, _maintenance),
    (lambda value: value.keys() == {"cores", "memory", "local_storage"}, _amounts),
)

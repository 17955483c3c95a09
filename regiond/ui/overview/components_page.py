"""Previews of the components of templates, with samples: a page for developers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.hosts.capacity import ResourceCapacity
from regiond.api.replies import Reply
from regiond.ui.forms.edit import compare
from regiond.ui.forms.form_field import FormField
from regiond.ui.hosts.core_map import WORDS, Cell, CoreMap, CoreRow, PhysicalCore
from regiond.ui.lists.list_kind import Chip
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.views import formats
from regiond.ui.views.meter import Meter, meter_of

_LONG = "a-name-that-is-much-longer-than-most-names-are-<b>and-holds-markup</b>"


def _chip(name: str, label: str, value: str) -> Chip:
    return Chip(name=name, value=value, label=label, word=value, without="#")


async def show(visit: Visit) -> Reply:
    return await visit.page("components.html", title="Components", section="", **samples())


def samples() -> Mapping[str, Any]:
    """The values of the page's template."""
    return {
        "sample_meters": _meters(),
        "sample_map": _core_map(),
        "sample_rows": [(0, row) for row in _core_map().rows],
        "form_fields": _FIELDS,
        "sample_edit": _EDIT,
        "problems": {"hostname": ["web-1 is taken."], "": ["The pool default has reached its quota of 20 cores."]},
        "chips": [_chip("pool", "Pool", "ci"), _chip("host", "Host", _LONG)],
        "guest_plan": _GUEST_PLAN,
        "record_plan": _RECORD_PLAN,
        "preview": {"placement": _PLACEMENT},
        "host_states": (
            ("ok", "ok", "Connected"), ("stale", "clock", "Old data"), ("bad", "error", "Unreachable"),
            ("caution", "key", "Waits for trust"), ("off", "closed", "Closed"), ("busy", "spinner", "Being removed"),
        ),
        "long_name": _LONG,
        "operates": False,  # so that the core map has no links
    }  # fmt: skip


def _meters() -> list[Meter | None]:
    amounts = (
        ResourceCapacity(total=64, claimable=64, claimed=40, elsewhere=8, free=16),
        ResourceCapacity(total=64, claimable=64),
        ResourceCapacity(total=64, claimable=64, claimed=60, elsewhere=16),
    )
    return [*(meter_of("CPU cores", amount) for amount in amounts), None]


def _core_map() -> CoreMap:
    states = ("free", "pinned", "others", "double")
    cells = [
        Cell(core_id=number, state=state, x=0.5, guests=("db-1",) if state != "free" else (), is_marked=number == 1)
        for number, state in enumerate(states)
    ]
    rows = tuple(
        CoreRow(
            cores=formats.ranges([cell.core_id]), count=1, state=cell.state, word=WORDS[cell.state],
            guests=cell.guests, is_marked=cell.is_marked,
        )
        for cell in cells
    )  # fmt: skip
    drawn = tuple(PhysicalCore(cells=(cell,), width=61) for cell in cells)
    return CoreMap(node_id=0, cores=drawn, rows=rows, description="Node 0: 4 cores, 1 free")


_FIELDS = (
    FormField(name="hostname", label="Name"),
    FormField(name="zone", label="Zone", kind="choice", options=(("east", "east"), ("west", "west"))),
    FormField(name="description", label="Description", kind="area", optional=True, help="For people"),
    FormField(name="managed", label="Managed", kind="tick"),
)
_BEFORE = {"hostname": "web-2", "zone": "north", "description": "", "managed": "true"}
_EDIT = compare(
    before=_BEFORE, typed={**_BEFORE, "hostname": "web-1", "zone": "east"}, current={**_BEFORE, "zone": "west"}
)
_GUEST_PLAN: Mapping[str, Any] = {
    "deleted": [
        {
            "name": "db-1", "host": "alder", "power_state": "on", "locked": False,
            "volumes": [{"name": "root", "size": 20_000_000_000, "storage_pool": "local"}],
        }
    ],
    "kept": [{"name": "web-1", "host": "alder", "power_state": "off", "locked": True, "volumes": []}],
    "effects": ["Its address 10.20.10.5 becomes free."],
}  # fmt: skip
_RECORD_PLAN: Mapping[str, Any] = {
    "deleted": [{"kind": "subnet", "id": "3", "name": "10.20.10.0/24"}],
    "kept": [{"kind": "VLAN", "id": "5", "name": "10"}],
    "effects": ["Discovery creates it again while a host reports it."],
}
_PLACEMENT: Mapping[str, Any] = {
    "chosen": "alder", "disks": [{"label": "root", "size": 20_000_000_000, "storage_pool": "local"}],
    "notes": ["The tag ssd of root is only on nvme."], "pinned_cores": [4, 5], "huge_pages": [],
    "nics": [{"label": "eth0", "name": "eth0", "kind": "bridge", "interface": "br0", "ip": "10.20.10.5"}],
    "fitting": [
        {"host": "alder", "score": 0.446, "unmet": []},
        {"host": "birch", "score": 0.3, "unmet": ["shares a host with db-1 of the group db"]},
    ],
    "rejected": [
        {"host": "cedar", "reasons": ["needs 4 cores, 1 free (8 cores × ratio 1.0 = 8 claimable, 7 claimed)"]},
        {"host": "elm", "reasons": ["is in zone west, needs east"]},
    ],
    "summarized": [{"hosts": 40, "reason": "is in zone west, needs east"}],
    "tried": [{"host": "oak", "error": "storage pool nvme not found"}],
}  # fmt: skip

PREVIEWS = (Page(path="components", handle=show),)

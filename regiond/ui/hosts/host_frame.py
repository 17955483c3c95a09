"""The frame of all pages of one host: its head with the tabs, and what they read."""

from __future__ import annotations

from typing import Any

from regiond.api.replies import Reply
from regiond.api.resources.shared.lookups import find_host
from regiond.attention.model import AttentionKind
from regiond.hosts.model import GuestFilter, GuestView, HostView
from regiond.operations.model import OPEN_STATES
from regiond.ui.attention.attention_page import OF_HOSTS, attention_of
from regiond.ui.hosts.host_row import HostRow
from regiond.ui.hosts.list_page import read_rows
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant

TABS = (
    ("vms", constant("VMs")),
    ("resources", constant("Resources")),
    ("tasks", constant("Tasks")),
    ("events", constant("Events")),
    ("settings", constant("Settings")),
)
_MOST_TASKS = 100


async def read_host(visit: Visit) -> tuple[HostView, HostRow]:
    """The host of the page's address, with what its caller may see of it. Raises NotFound."""
    host = await find_host(visit.services, {"id": visit.path["host"]})
    (row,) = await read_rows(visit, [host])
    return row.view, row


async def read_guests(visit: Visit, host: HostView) -> list[GuestView]:
    found = await visit.services.hosts.long_list_of_guests(GuestFilter(host_id=host.id), caller=visit.caller)
    return [guest async for batch in found.batches() for guest in batch]


def _kinds(visit: Visit, row: HostRow) -> tuple[AttentionKind, ...]:
    """Returns what the page's lines are about: not trust, where it has advice for administrators."""
    has_advice = row.advice is not None and visit.caller.is_admin
    return tuple(kind for kind in OF_HOSTS if kind is not AttentionKind.HOST_REJECTED or not has_advice)


async def host_page(visit: Visit, row: HostRow, tab: str, *, status: int = 200, **values: Any) -> Reply:
    """The page of a tab."""
    running = await visit.services.operations.list(
        host_id=row.id, states=tuple(OPEN_STATES), limit=_MOST_TASKS, caller=visit.caller
    )
    return await visit.page(
        f"hosts/{tab}.html",
        title=f"{row.name} – {dict(TABS)[tab]}",
        section="hosts",
        status=status,
        host=row,
        tab=tab,
        tabs=TABS if visit.caller.is_admin else TABS[:-1],
        tab_counts={"vms": row.machines + row.others, "tasks": len(running)},
        operates=visit.caller.may_operate(row.pool_id),
        racks=[rack for rack in await visit.services.racks.of_host(row.id, caller=visit.caller) if rack.connected],
        attention=await attention_of(visit, host_id=row.id, kinds=_kinds(visit, row)),
        **values,
    )

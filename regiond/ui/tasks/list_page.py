"""The page of all tasks, and the tasks that match its filters as a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regiond.api.replies import Reply
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.operations.model import Operation
from regiond.requests.long_list import LongList
from regiond.ui.lists.export import export
from regiond.ui.lists.list_scope import everything
from regiond.ui.lists.task_filters import read_filters
from regiond.ui.lists.task_list import host_of, task_list
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import text

_MOST_EXPORTED = 100_000
_BATCH = 500
COLUMNS = (
    "id", "kind", "state", "hostname", "system_id", "host_name", "username", "created_at", "started_at", "finished_at",
    "attempt", "error.code", "error.message", "parent_id", "resource_uri",
)  # fmt: skip


async def show(visit: Visit) -> Reply:
    shown = await task_list(visit, everything("tasks"))
    return await visit.page("tasks/list.html", title=text("Tasks"), section="tasks", **shown)


async def show_export(visit: Visit) -> Reply:
    """All pages of the list as one file, newest first. Invalid filters answer with the page that says what is wrong."""
    operations, filters = visit.services.operations, read_filters(visit.request)
    if filters.problems:
        return await show(visit)
    query: dict[str, Any] = {
        **filters.wanted, "states": filters.states(filters.texts["show"]), "caller": visit.caller,
        "host_id": await host_of(visit, filters.texts["host"]),
    }  # fmt: skip
    total = await operations.count(**query, limit=_MOST_EXPORTED)
    last: int | None = None

    async def read(keys: Sequence[Any]) -> Sequence[Operation]:
        """The next of them; what has begun since is not among them."""
        nonlocal last
        found = await operations.list(**query, before_id=last, limit=len(keys))
        last = found[-1].id if found else last
        return found

    return await export(
        visit, "tasks", LongList(keys=range(total), read=read, batch=_BATCH), OPERATION_JSON.encode, COLUMNS
    )


PAGES = (Page(path="tasks", handle=show), Page(path="tasks/export", handle=show_export))

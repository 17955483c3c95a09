"""The list of tasks: searched and filtered, with how many there are, and as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from regiond.api.replies import Reply
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.long_list import LongList
from regiond.operations.model import Operation, OperationKind, OperationState
from regiond.ui.forms.refusal import UNPROCESSABLE
from regiond.ui.lists.export import FORMATS, export
from regiond.ui.page import Page, Visit
from regiond.ui.tasks.task_filters import SHOWN, TaskFilters, read_filters
from regiond.ui.texts import text

_PAGE = 50
_COUNTED = 1000  # more are shown as 1,000+
_MOST_EXPORTED = 100_000
_BATCH = 500
_NO_HOST = 0  # has no task: the host that the address names does not exist, or may not be seen
COLUMNS = (
    "id", "kind", "state", "hostname", "system_id", "host_name", "username", "created_at", "started_at", "finished_at",
    "attempt", "error.code", "error.message", "parent_id", "resource_uri",
)  # fmt: skip


async def show(visit: Visit) -> Reply:
    request, operations, filters = visit.request, visit.services.operations, read_filters(visit.request)
    before, shown = request.option("before"), filters.texts["show"]
    host_id = await _host_id(visit, filters.texts["host"])
    found = (
        ()
        if filters.problems
        else await operations.list(
            **filters.wanted,
            states=filters.states(shown),
            host_id=host_id,
            limit=_PAGE + 1,
            before_id=int(before) if before.isdecimal() and len(before) < 19 else None,
            caller=visit.caller,
        )
    )
    tasks = found[:_PAGE]
    return await visit.page(
        "tasks/list.html",
        title=text("Tasks"),
        section="tasks",
        status=UNPROCESSABLE if filters.problems else 200,
        tasks=tasks,
        texts=filters.texts,
        problems=filters.problems,
        is_filtered=filters.is_filtered,
        counts=await _counts(visit, filters, host_id),
        states_of_tasks=[state.value for state in OperationState],
        kinds=[kind.value for kind in OperationKind],
        hosts=await visit.services.hosts.names(caller=visit.caller),
        formats=[(name, request.url(format=name, before=None).partition("?")[2]) for name in FORMATS],
        older=request.url(before=str(tasks[-1].id)) if len(found) > _PAGE else None,
        newest=request.url(before=None) if before else None,
    )


async def _counts(visit: Visit, filters: TaskFilters, host_id: int | None) -> dict[str, str]:
    """Returns how many tasks each quick filter would show."""
    counted = await asyncio.gather(
        *(
            visit.services.operations.count(
                **filters.wanted, states=filters.states(name), host_id=host_id, limit=_COUNTED, caller=visit.caller
            )
            for name in SHOWN
        )
    )
    texts = [f"{number:,}" + ("+" if number == _COUNTED else "") for number in counted]
    return dict(zip(SHOWN, texts, strict=True))


async def _host_id(visit: Visit, name: str) -> int | None:
    if not name:
        return None
    found = await visit.services.hosts.ids_of([name], caller=visit.caller)
    return next(iter(sorted(found.get(name, ()))), _NO_HOST)


async def show_export(visit: Visit) -> Reply:
    """All pages of the list as one file, newest first. Invalid filters answer with the page that says what is wrong."""
    operations, filters = visit.services.operations, read_filters(visit.request)
    if filters.problems:
        return await show(visit)
    query: dict[str, Any] = {
        **filters.wanted, "states": filters.states(filters.texts["show"]), "caller": visit.caller,
        "host_id": await _host_id(visit, filters.texts["host"]),
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

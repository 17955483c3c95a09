"""A list of tasks with its filters, as the page of all tasks and the tabs of hosts and VMs show it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

from attrs import evolve

from common.words.operation_kinds import OperationKind
from regiond.operations.model import OperationState
from regiond.ui.forms.refusal import UNPROCESSABLE
from regiond.ui.lists.export import FORMATS
from regiond.ui.lists.list_scope import ListScope
from regiond.ui.lists.task_filters import SHOWN, TaskFilters, read_filters
from regiond.ui.rendering.page import Visit

_PAGE = 50
_COUNTED = 1000  # more are shown as 1,000+
_NO_HOST = 0  # has no task: the host that the address names does not exist, or may not be seen


async def task_list(visit: Visit, scope: ListScope) -> dict[str, Any]:
    """Returns the values of tasks/filtered.html, and the status of its page."""
    operations, here = visit.services.operations, evolve(visit.request, path=scope.path)
    filters = read_filters(here, scope.fixed)
    before = here.option("before")
    host_id = await host_of(visit, filters.texts["host"])
    found = (
        ()
        if filters.problems
        else await operations.list(
            **filters.wanted,
            states=filters.states(filters.texts["show"]),
            host_id=host_id,
            limit=_PAGE + 1,
            before_id=int(before) if before.isdecimal() and len(before) < 19 else None,
            caller=visit.caller,
        )
    )
    tasks = found[:_PAGE]
    return {
        "status": UNPROCESSABLE if filters.problems else 200,
        "scope": scope,
        "here": here,
        "tasks": tasks,
        "filters": filters,
        "problems": filters.problems,
        "counts": await _counts(visit, filters, host_id),
        "states_of_tasks": [state.value for state in OperationState],
        "kinds": [kind.value for kind in OperationKind],
        "hosts": () if scope.fixed else await visit.services.hosts.names(caller=visit.caller),
        "formats": [(name, urlencode([*filters.query, ("format", name)])) for name in FORMATS],
        "older": here.url(before=str(tasks[-1].id)) if len(found) > _PAGE else None,
        "newest": here.url(before=None) if before else None,
    }


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


async def host_of(visit: Visit, id_or_name: str) -> int | None:
    """Returns the id of the host; None without a name, and one that no task has for a host that is not there."""
    if not id_or_name:
        return None
    found = await visit.services.hosts.ids_of([id_or_name], caller=visit.caller)
    return next(iter(sorted(found.get(id_or_name, ()))), _NO_HOST)

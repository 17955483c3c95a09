"""Forms that create or change an object: shown, refused, in conflict, or accepted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.ui.forms.edit import Edit, begin_edit, read_edit
from regiond.ui.forms.refusal import IN_CONFLICT, NOT_REFUSED, Refusal
from regiond.ui.rendering.page import Visit

Show = Callable[[Edit, Refusal], Awaitable[Reply]]
Send = Callable[[Mapping[str, str]], Awaitable[Reply]]


async def create(visit: Visit, values: Mapping[str, str], show: Show, send: Send) -> Reply:
    """`values` are what was typed, or what the form begins with; `send` gets them all and leads to the new object."""
    edit = begin_edit(values)
    if visit.request.method != "POST":
        return await show(edit, NOT_REFUSED)
    return await _send(edit, values, show, send)


async def change(
    visit: Visit, current: Mapping[str, str], show: Show, send: Send, *, absent_is_empty: bool = True
) -> Reply:
    """`send` gets what the user changed, perhaps nothing, unless somebody else changed the same field meanwhile."""
    if visit.request.method != "POST":
        return await show(begin_edit(current), NOT_REFUSED)
    edit = read_edit(visit.request, current, absent_is_empty=absent_is_empty)
    if edit.conflicts:
        return await show(edit, IN_CONFLICT)
    return await _send(edit, edit.changes, show, send)


async def _send(edit: Edit, values: Mapping[str, str], show: Show, send: Send) -> Reply:
    try:
        return await send(values)
    except InnkeeperError as error:
        return await show(edit, Refusal.of(error))

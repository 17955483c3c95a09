"""The filters of the event log that the address of its page holds."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import TypeVar

from attrs import frozen

from common.errors import InvalidRequest
from regiond.api.declaration.field_types import FieldError, Timestamp
from regiond.api.resources.shared.lookups import past_host, past_machine
from regiond.events.model import EventFilter, Level
from regiond.requests.identifiers import as_id
from regiond.requests.validation_messages import no_choice
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import text

T = TypeVar("T")
LEVELS: Mapping[str, tuple[Level, ...]] = {
    "warning": (Level.WARNING, Level.ERROR),
    "error": (Level.ERROR,),
}
NAMES = ("q", "level", "kind", "host", "vm", "task", "user", "since", "until")
_LONGEST_TEXT = 255
_LARGEST_ID = 2**63 - 1
_NOTHING: Mapping[str, str] = {}
_Problems = dict[str, list[str]]


@frozen(kw_only=True)
class Filters:
    """The filters of the page, as typed, and what they ask for; None if one of them is invalid.

    `fixed` are the names of those that the page decides, and its form does not have.
    """

    texts: Mapping[str, str]
    wanted: EventFilter | None
    problems: Mapping[str, list[str]]
    fixed: frozenset[str] = frozenset()

    @property
    def is_filtered(self) -> bool:
        return any(text for name, text in self.texts.items() if name not in self.fixed)


async def read_filters(visit: Visit, fixed: Mapping[str, str] = _NOTHING, *, limit: int = 1) -> Filters:
    """Reads the address of the page. Hosts and VMs that were removed are found by their ids.

    `fixed` are filters that the page decides, whatever its address says.
    """
    texts = {**{name: visit.request.option(name).strip()[:_LONGEST_TEXT] for name in NAMES}, **fixed}
    problems: _Problems = {}
    if texts["level"] and texts["level"] not in LEVELS:
        problems["level"] = [no_choice(texts["level"], LEVELS)]
    machine = await _found("vm", past_machine(visit.services, texts["vm"] or None, field="vm"), problems)
    wanted = EventFilter(
        levels=LEVELS.get(texts["level"], ()),
        kinds=(texts["kind"],) if texts["kind"] else (),
        username=texts["user"] or None,
        text=texts["q"] or None,
        host_id=await _found("host", past_host(visit.services, texts["host"] or None), problems),
        system_ids=(machine,) if machine else None,
        operation_id=_task(texts["task"].removeprefix("#"), problems),
        since=_time("since", texts["since"], problems),
        until=_time("until", texts["until"], problems),
        before_id=as_id(visit.request.option("before"), largest=_LARGEST_ID),
        limit=limit,
    )
    return Filters(texts=texts, wanted=None if problems else wanted, problems=problems, fixed=frozenset(fixed))


async def _found(name: str, reading: Awaitable[T | None], problems: _Problems) -> T | None:
    try:
        return await reading
    except InvalidRequest as error:
        problems[name] = error.fields.get(name, [error.message])
        return None


def _task(typed: str, problems: _Problems) -> int | None:
    found = as_id(typed, largest=_LARGEST_ID) if typed else None
    if typed and found is None:
        problems["task"] = [text("“{typed}” is not the number of a task.", typed=typed[:40])]
    return found


def _time(name: str, text: str, problems: _Problems) -> datetime | None:
    try:
        return Timestamp().parse((text,)) if text else None
    except FieldError as error:
        problems[name] = [str(error)]
        return None

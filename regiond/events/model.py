"""Events of the audit trail and filters for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from attrs import field, frozen


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


# What the level that a reader names includes; INFO is the lowest that is recorded.
AT_LEAST: Mapping[str, tuple[Level, ...]] = {
    "DEBUG": (),
    "INFO": (),
    "WARNING": (Level.WARNING, Level.ERROR),
    "ERROR": (Level.ERROR,),
    "CRITICAL": (Level.ERROR,),
}


@frozen(kw_only=True)
class Event:
    """One event. It outlives its subjects, so its ids may refer to deleted rows."""

    id: int
    at: datetime
    kind: str  # a fixed name in the past tense, as in logs: `rack_joined`
    level: Level
    message: str
    host_id: int | None = None
    system_id: str | None = None
    operation_id: int | None = None
    rack_id: UUID | None = None
    username: str | None = None
    host_name: str | None = None  # current name; None if the host was removed
    hostname: str | None = None  # current hostname of the machine; None if it was deleted
    details: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class NewEvent:
    """An event to record, one of several that a request causes at once."""

    kind: str
    level: Level = Level.INFO
    message: str
    host_id: int | None = None
    system_id: str | None = None


@frozen(kw_only=True)
class EventFilter:
    """Conditions on events, which all apply. `before_id` and `after_id` continue from the last event of a page.

    With `system_ids`, only events of these machines; with `text`, those whose message has it, in any case. `since` is
    the first time that matches, `until` the first that does not.
    """

    levels: tuple[Level, ...] = ()
    kinds: tuple[str, ...] = ()
    username: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    host_id: int | None = None
    system_ids: tuple[str, ...] | None = None
    operation_id: int | None = None
    rack_id: UUID | None = None
    before_id: int | None = None
    after_id: int | None = None
    limit: int = 100


@frozen(kw_only=True)
class EventBatch:
    """The next events of a reader, oldest first, and the id up to which the reader has all events that it may see.

    `is_gap`: events that followed the reader's id have been deleted, or the id is unknown here.
    """

    events: tuple[Event, ...] = ()
    position: int
    is_gap: bool = False


@frozen(kw_only=True)
class LogExtent:
    """Ids of the log. No event can still appear at or before `horizon`; `newest` is the highest id assigned."""

    oldest: int | None  # of the stored events
    horizon: int
    newest: int


@frozen(kw_only=True)
class Changes:
    """Changes since the position of a reader. `is_gap`: some are no longer known, so every object may have changed."""

    position: str
    topics: tuple[str, ...]
    is_gap: bool = False

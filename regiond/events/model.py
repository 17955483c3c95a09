"""What happened, as it is kept and shown."""

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


@frozen(kw_only=True)
class Event:
    """One thing that happened. It outlives what it tells of, so the ids may lead nowhere by now."""

    id: int
    at: datetime
    kind: str  # a fixed name in the past tense, as in the log: `rack_joined`
    level: Level
    message: str
    host_id: int | None = None
    system_id: str | None = None
    operation_id: int | None = None
    rack_id: UUID | None = None
    username: str | None = None
    host_name: str | None = None  # as it is called now; None when it is gone
    hostname: str | None = None  # the machine's, likewise
    details: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class EventFilter:
    """All given must hold. `before_id` and `after_id` are where the last page ended, downwards and upwards."""

    levels: tuple[Level, ...] = ()
    host_id: int | None = None
    system_id: str | None = None
    operation_id: int | None = None
    rack_id: UUID | None = None
    before_id: int | None = None
    after_id: int | None = None
    limit: int = 100

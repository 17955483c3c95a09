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
    details: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class EventFilter:
    """All given must hold. `before_id` is where the last page ended."""

    levels: tuple[Level, ...] = ()
    host_id: int | None = None
    system_id: str | None = None
    operation_id: int | None = None
    rack_id: UUID | None = None
    before_id: int | None = None
    limit: int = 100

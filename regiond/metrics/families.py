"""Gauges whose values are read from the database at a scrape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from attrs import field, frozen

from common.process.metric_families import Family, Sample
from regiond.db.pool import Db


@frozen(kw_only=True)
class Reading:
    """Families that are read from the database together, at most once in `every_s` seconds."""

    name: str
    families: tuple[Family, ...]
    read: Callable[[Db], AsyncIterator[Sample]]
    every_s: float = field(default=10.0)

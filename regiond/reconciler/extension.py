"""The part of an extension that the reconciler calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from typing import Protocol

from attrs import frozen

from regiond.db.pool import Db
from regiond.process import extensions
from regiond.reconciler.model import Discrepancy, DiscrepancyKind


class Repair(Protocol):
    """A repair. It runs in the caller's transaction (read committed), so all of it happens or nothing."""

    async def __call__(self, db: Db, discrepancy: Discrepancy) -> str | None:
        """Returns a text on the fault and the repair; None, with nothing written, if it is resolved or changed.

        Raises Busy, WrongState or NotFound if another operation acts on the subject; the caller must then roll back.
        """


@frozen(kw_only=True)
class ReconcilerExtension:
    """`detect` runs in a transaction with one snapshot and calls no rack; `repairs` are those of its kinds."""

    detect: Callable[[Db], Awaitable[Iterable[Discrepancy | None]]]
    repairs: Mapping[DiscrepancyKind, Repair]


@cache
def reconciler_extensions() -> tuple[ReconcilerExtension, ...]:
    """Returns those of all extensions. A module that an extension imports must not call this when it is imported."""
    return extensions.extensions(extensions.RECONCILER, ReconcilerExtension)

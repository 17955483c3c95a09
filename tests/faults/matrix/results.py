"""Stores the results of cells in a file, one line each, so that an interrupted run can continue."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from common.serialization import from_dict, to_dict
from tests.faults.cells import CellResult


@frozen(kw_only=True)
class StoredResult:
    """One result, its time, and the commit that was tried; empty: it was not stored."""

    at: datetime
    result: CellResult
    commit: str = ""

    @property
    def key(self) -> tuple[bool, str]:
        return self.result.real, self.result.cell.name


class Results:
    """The newest result of each cell, in memory and in the file."""

    def __init__(self, path: Path, *, again: bool = False, commit: str = "") -> None:
        """`again` deletes stored results; `commit` is what further ones are of."""
        self._path, self._commit = path, commit
        path.parent.mkdir(parents=True, exist_ok=True)
        if again:
            path.unlink(missing_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._stored = {one.key: one for one in (from_dict(json.loads(line), StoredResult) for line in lines)}

    def add(self, result: CellResult) -> None:
        stored = StoredResult(at=datetime.now(UTC), result=result, commit=self._commit)
        self._stored[stored.key] = stored
        with self._path.open("a") as file:
            file.write(json.dumps(to_dict(stored)) + "\n")

    def of(self, names: Iterable[str], *, real: bool) -> list[StoredResult]:
        """The stored results of these cells, in the order of `names`."""
        return [self._stored[real, name] for name in names if (real, name) in self._stored]

    def all(self, *, real: bool) -> list[StoredResult]:
        """By kind, point and victim."""
        found = (stored for (is_real, _), stored in self._stored.items() if is_real is real)
        return sorted(found, key=lambda stored: stored.result.cell)

    def done(self, *, real: bool) -> frozenset[str]:
        """Names of the cells that are green and need not be tried again."""
        return frozenset(
            one.result.cell.name for one in self.all(real=real) if not one.result.faults and not one.result.skipped
        )

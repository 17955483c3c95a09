"""What came of the cells, kept in a file of lines, so that a run that was broken off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from common.wire import from_plain, to_plain
from tests.faults.cells import CellResult


@frozen(kw_only=True)
class Kept:
    """One result, and when it was had."""

    at: datetime
    result: CellResult

    @property
    def key(self) -> tuple[bool, str]:
        return self.result.real, self.result.cell.name


class Results:
    """The newest of each cell, in memory and in the file."""

    def __init__(self, path: Path, *, again: bool = False) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if again:
            path.unlink(missing_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._kept = {one.key: one for one in (from_plain(json.loads(line), Kept) for line in lines)}

    def add(self, result: CellResult) -> None:
        kept = Kept(at=datetime.now(UTC), result=result)
        self._kept[kept.key] = kept
        with self._path.open("a") as file:
            file.write(json.dumps(to_plain(kept)) + "\n")

    def of(self, names: Iterable[str], *, real: bool) -> list[Kept]:
        """Those that there are, in the order of `names`."""
        return [self._kept[real, name] for name in names if (real, name) in self._kept]

    def all(self, *, real: bool) -> list[Kept]:
        """By kind, point and victim."""
        found = (kept for (is_real, _), kept in self._kept.items() if is_real is real)
        return sorted(found, key=lambda kept: kept.result.cell)

    def done(self, *, real: bool) -> frozenset[str]:
        """Names of the cells that need not be tried again."""
        return frozenset(
            kept.result.cell.name for kept in self.all(real=real) if not kept.result.faults and not kept.result.skipped
        )

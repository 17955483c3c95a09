"""Tests that failed in a run and passed twice alone: `tests/unstable.txt` names them until they are repaired.

An entry is a line `DATE COMMIT TEST` with the test's output below it, indented. At most five entries, each for at most
seven days: beyond that, the first tier is red. What a failure says of claims, ownership or permissions is never chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from attrs import frozen

from tests.tiers.results import Failure

FILE = Path(__file__).resolve().parents[1] / "unstable.txt"
MAX_ENTRIES = 5
MAX_AGE = timedelta(days=7)
OUTPUT_LINES = 60
_ENTRY = re.compile(r"^(\d{4}-\d\d-\d\d) (\S+) (tests/.+)$")
_NEVER_CHANCE = re.compile(
    r"ledger|overcommit|oversubscri|discrepanc|claim|ownership|owner_|marker_of|foreign|permission|forbidden"
    r"|unauthori|\b40[13]\b|fencing|secret",
    re.IGNORECASE,
)


@frozen(kw_only=True)
class Entry:
    seen_on: date
    commit: str
    test: str


def may_be_chance(failure: Failure) -> bool:
    """Returns False where the test, or a line of its output that shows the error, is about what must never be wrong."""
    errors = "\n".join(line for line in failure.output.splitlines() if line.startswith(("E ", ">")))
    return _NEVER_CHANCE.search(failure.test + "\n" + errors) is None


def entries(text: str) -> tuple[Entry, ...]:
    found = (_ENTRY.match(line) for line in text.splitlines())
    return tuple(
        Entry(seen_on=date.fromisoformat(one[1]), commit=one[2], test=one[3]) for one in found if one is not None
    )


def problems(known: Iterable[Entry], today: date) -> tuple[str, ...]:
    """Returns why these entries make a run red; nothing while there are few, and all are recent."""
    known = tuple(known)
    too_many = [f"{len(known)} unstable tests are known; at most {MAX_ENTRIES} may be"] * (len(known) > MAX_ENTRIES)
    too_old = [f"unstable since {one.seen_on}: {one.test}" for one in known if today - one.seen_on > MAX_AGE]
    return (*too_many, *too_old)


def record(failures: Iterable[Failure], *, commit: str, path: Path = FILE) -> None:
    """Appends an entry for each of the tests that has none."""
    text = path.read_text() if path.exists() else ""
    known = {one.test for one in entries(text)}
    today = datetime.now(UTC).date()
    for failure in failures:
        if failure.test not in known:
            output = "".join(f"    {line}\n" for line in failure.output.splitlines()[-OUTPUT_LINES:])
            text += f"{today} {commit} {failure.test}\n{output}"
    path.write_text(text)


def known_problems(path: Path = FILE) -> tuple[str, ...]:
    return problems(entries(path.read_text()), datetime.now(UTC).date()) if path.exists() else ()

"""Results of a pytest run: read from the file that the plugin writes, and summed up for a person."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen


@frozen(kw_only=True)
class Failure:
    test: str
    output: str


@frozen(kw_only=True)
class Part:
    """The tests of one folder. `seconds` is the time that they took in all workers together."""

    name: str
    passed: int
    failed: int
    skipped: Mapping[str, int]  # by reason
    seconds: float

    def __str__(self) -> str:
        words = [f"{self.name}: {self.passed} passed"]
        words += [f"{self.failed} failed"] if self.failed else []
        words += [f"{count} skipped ({reason})" for reason, count in sorted(self.skipped.items())]
        return f"{', '.join(words)}, {self.seconds / 60:.1f} min"


@frozen(kw_only=True)
class Results:
    passed: frozenset[str] = field(default=frozenset(), converter=frozenset)
    failures: tuple[Failure, ...] = ()
    parts: tuple[Part, ...] = ()


def read(path: Path) -> Results:
    """Returns the results of a run, also of one that was interrupted. A test with a failed phase has not passed."""
    lines = list(_lines(path))
    failures = {line["test"]: line["output"] for line in reversed(lines) if line["outcome"] == "failed"}
    ended = {line["test"] for line in lines if line["when"] == "teardown"}
    passed = {line["test"] for line in lines if line["outcome"] == "passed" and line["when"] == "call"}
    return Results(
        passed=(passed & ended) - failures.keys(),
        failures=tuple(Failure(test=test, output=output) for test, output in reversed(failures.items())),
        parts=tuple(_parts(lines, failures.keys())),
    )


def _lines(path: Path) -> Iterator[Any]:
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:  # the last one of a run that was killed
            return


def _parts(lines: Iterable[Any], failed: Iterable[str]) -> Iterator[Part]:
    by_part: dict[str, list[Any]] = {}
    for line in lines:
        by_part.setdefault("/".join(line["test"].split("/")[:2]).partition("::")[0], []).append(line)
    failed_tests = set(failed)
    for name, of_part in sorted(by_part.items()):
        tests = {line["test"] for line in of_part}
        passed = {line["test"] for line in of_part if line["when"] == "call" and line["outcome"] == "passed"}
        yield Part(
            name=name,
            passed=len(passed - failed_tests),
            failed=len(tests & failed_tests),
            skipped=Counter(line["reason"] for line in of_part if line["outcome"] == "skipped"),
            seconds=sum(line["seconds"] for line in of_part),
        )

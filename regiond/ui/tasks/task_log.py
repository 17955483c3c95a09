"""The log of a task as its page shows it: an error once with how often it came, and details in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from regiond.operations.model import LogLine
from regiond.ui.texts import constant, text
from regiond.ui.views import formats

_EMPTY: tuple[object, ...] = (None, "", [], {}, ())
_HIDDEN = frozenset({"code"})  # the message says it; the file of the log has it
_WORDS: Mapping[str, str] = {
    "retry_in_s": constant("tried again after {}"),
    "by": constant("by {}"),
    "racks": constant("racks: {}"),
    "undone": constant("undone: {}"),
    "reason": "{}",
}
_BEGINS = "started"
_ENDS = {
    "succeeded": constant("Succeeded"),
    "failed": constant("Failed"),
    "cancelled": constant("Cancelled"),
    "rescheduled": constant("Placed on another host"),
}


@frozen(kw_only=True)
class ShownLine:
    """`times` is how often the same came in a row, the last at `last_at`."""

    at: datetime
    step: str
    text: str
    facts: tuple[str, ...] = ()
    is_bad: bool = False
    times: int = 1
    last_at: datetime

    @property
    def is_repeated(self) -> bool:
        return self.times > 1


def shown_log(log: Iterable[LogLine]) -> list[ShownLine]:
    """Returns the lines, without the beginnings of attempts whose error was the same as before."""
    shown: list[ShownLine] = []
    begun: LogLine | None = None  # an attempt whose first line is held back: it may only repeat an error
    for line in log:
        last = shown[-1] if shown else None
        if line.message == _BEGINS and last is not None and last.is_bad and last.step == _step(line):
            begun = line
            continue
        found = _shown(line)
        if last is not None and last.is_bad and (last.step, last.text) == (found.step, found.text):
            shown[-1] = evolve(last, times=last.times + 1, last_at=found.at, facts=found.facts)
            begun = None
            continue
        if begun is not None:
            shown.append(_shown(begun))
            begun = None
        shown.append(found)
    return [*shown, *([_shown(begun)] if begun is not None else [])]


def _shown(line: LogLine) -> ShownLine:
    ends = line.step is None and line.message in _ENDS
    return ShownLine(
        at=line.at,
        last_at=line.at,
        step=_step(line),
        text=str(_ENDS[line.message]) if ends else line.message,
        facts=tuple(facts_of(line.details)),
        is_bad=bool(line.details.get("code")) or line.message in {"failed", "cancelled"},
    )


def _step(line: LogLine) -> str:
    return (line.step or "").replace("_", " ")


def facts_of(details: Mapping[str, Any]) -> Iterable[str]:
    """Yields the details in words: `tried again after 0.5 s`; amounts with their unit, nested values left out."""
    for name, value in details.items():
        if name in _HIDDEN or value in _EMPTY:
            continue
        printed = value_text(name, value)
        if printed is not None:
            yield _WORDS[name].format(printed) if name in _WORDS else f"{label_of(name)}: {printed}"


def value_text(name: str, value: Any) -> str | None:
    """Returns a plain value with the unit that its name has; None for a nested one."""
    if isinstance(value, bool):
        return text("yes") if value else text("no")
    if isinstance(value, list | tuple):
        parts = [value_text("", one) for one in value]
        return None if None in parts else ", ".join(part for part in parts if part)
    if isinstance(value, int | float):
        if name.endswith("_mib"):
            return formats.memory(int(value))
        if name.endswith("_bytes"):
            return formats.file_size(int(value))
        return f"{formats.number(value)} s" if name.endswith("_s") else str(value)
    return value if isinstance(value, str) else None


def label_of(name: str) -> str:
    """`memory_mib` as `Memory`."""
    for unit in ("_mib", "_bytes", "_s", "_id"):
        name = name.removesuffix(unit)
    return name.replace("_", " ").strip().capitalize()

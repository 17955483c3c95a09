"""A line of the results: a figure, whether its goal was met, and the ratio to the baseline."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from attrs import field, frozen

_WORDS = {True: "met", False: "missed", None: ""}
_WIDTH = 118
_INDENT = " " * 8


@frozen(kw_only=True)
class Against:
    """The baseline for the same work in the same run. `ratio` says how many times better the product is."""

    what: str
    measured: str
    ratio: float
    numbers: Mapping[str, float] = field(factory=dict)

    @property
    def text(self) -> str:
        return f"{times(self.ratio)} × {self.what}: {self.measured}"


@frozen(kw_only=True)
class Line:
    """One figure. `good` says whether the goal was met; None without a goal. `key` is its fixed name in JSON."""

    key: str
    what: str
    wanted: str
    measured: str
    good: bool | None = None
    numbers: Mapping[str, float] = field(factory=dict)
    against: Against | None = None

    @property
    def evaluation(self) -> str:
        return _WORDS[self.good]


def times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def table(lines: Sequence[Line]) -> str:
    """Formats the figures for a terminal."""
    return "\n".join(_block(line) for line in lines)


def _block(line: Line) -> str:
    wanted = f" (wanted: {line.wanted})" if line.wanted else ""
    rows = [_wrapped(f"{line.evaluation:<8}{line.what}{wanted}"), _wrapped(f"{_INDENT}{line.measured}")]
    if line.against is not None:
        rows.append(_wrapped(f"{_INDENT}{line.against.text}"))
    return "\n".join(rows)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=_INDENT, drop_whitespace=True, break_on_hyphens=False)

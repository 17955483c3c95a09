"""What a benchmark says: a figure, whether it was met, and how many times better it is than the simple way."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from attrs import field, frozen

_WORDS = {True: "met", False: "missed", None: ""}
_WIDTH = 118
_INDENT = " " * 8


@frozen(kw_only=True)
class Against:
    """The same work done in a simple way in the same run. `ratio`: how many times better ours is; below 1 worse."""

    what: str
    measured: str
    ratio: float
    numbers: Mapping[str, float] = field(factory=dict)

    @property
    def text(self) -> str:
        return f"{times(self.ratio)} × {self.what}: {self.measured}"


@frozen(kw_only=True)
class Line:
    """One figure. `good` says whether it was reached; None when none is set. `key` names it for ever, in JSON."""

    key: str
    what: str
    wanted: str
    measured: str
    good: bool | None = None
    numbers: Mapping[str, float] = field(factory=dict)
    against: Against | None = None

    @property
    def verdict(self) -> str:
        return _WORDS[self.good]


def times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def table(lines: Sequence[Line]) -> str:
    """For a terminal: each figure on a few lines of its own."""
    return "\n".join(_block(line) for line in lines)


def _block(line: Line) -> str:
    wanted = f" (wanted: {line.wanted})" if line.wanted else ""
    told = [_wrapped(f"{line.verdict:<8}{line.what}{wanted}"), _wrapped(f"{_INDENT}{line.measured}")]
    if line.against is not None:
        told.append(_wrapped(f"{_INDENT}{line.against.text}"))
    return "\n".join(told)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=_INDENT, drop_whitespace=True, break_on_hyphens=False)

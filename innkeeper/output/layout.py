"""Arranges cells in lines: drops columns that do not fit, and never breaks a cell. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, field, frozen

from innkeeper.output.text import filled, width_of

BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
_GAP = "  "


@frozen(kw_only=True)
class Cells:
    """One column: its heading and a cell for each row. A `rank` of 0 is never dropped; `prose` can be below its row.

    `short` and `short_texts` replace heading and texts where the table is too wide; empty: there are no shorter ones.
    """

    heading: str
    texts: Sequence[str]
    short: str = ""
    short_texts: Sequence[str] = ()
    is_right: bool = False
    rank: int = 0
    prose: bool = False

    @property
    def width(self) -> int:
        return max([width_of(self.heading), *map(width_of, self.texts)])


@frozen(kw_only=True)
class Grid:
    """Lines of a table, the headings of the columns that did not fit, and the full text of headings in short form."""

    lines: list[str]
    dropped: list[str] = field(factory=list)
    shortened: dict[str, str] = field(factory=dict)


def grid(columns: Sequence[Cells], width: int | None, *, bold: bool = False, prose_named: bool = True) -> Grid:
    """Returns the lines of a table at most `width` wide, if its columns of rank 0 allow it; None: of any width.

    Where it is too wide, prose moves below its row, in one line that the terminal continues by itself; then headings
    and cells are shortened; and then the columns of the highest rank are dropped, of equal ones the last. A wide column
    leaves room for less important ones that are narrower: they stay. With `prose_named`, prose below a row follows its
    heading.
    """
    beside = [evolve(one, texts=[_one_line(text) for text in one.texts]) for one in columns]
    if width is None or _width(beside) <= width:
        return Grid(lines=_lines(beside, [], bold=bold, prose_named=prose_named))
    below = [one for one in beside if one.prose]
    beside = [one for one in beside if not one.prose]
    if _width(beside) <= width:
        return Grid(lines=_lines(beside, below, bold=bold, prose_named=prose_named))
    shown, dropped = _fitting([_shortened(one) for one in beside], width)
    full = {one.short: one.heading for one in beside if one.short}
    shortened = {one.heading: full[one.heading] for one in shown if one.heading in full}
    return Grid(
        lines=_lines(shown, below, bold=bold, prose_named=prose_named),
        dropped=[full.get(one, one) for one in dropped],
        shortened=shortened,
    )


def _shortened(one: Cells) -> Cells:
    texts = [_one_line(text) for text in one.short_texts]
    return evolve(one, heading=one.short or one.heading, texts=texts or one.texts)


def _fitting(beside: Sequence[Cells], width: int) -> tuple[list[Cells], list[str]]:
    """The columns that fit side by side, and the headings of the others."""
    by_importance = sorted(range(len(beside)), key=lambda index: (beside[index].rank, index))
    kept: set[int] = set()
    for index in by_importance:
        wanted = [beside[each] for each in sorted({*kept, index})]
        if beside[index].rank == 0 or _width(wanted) <= width:
            kept.add(index)
    shown = [beside[index] for index in sorted(kept)]
    return shown, [beside[index].heading for index in reversed(by_importance) if index not in kept]


def _one_line(text: str) -> str:
    return " ".join(text.split("\n"))


def _width(columns: Sequence[Cells]) -> int:
    return sum(one.width for one in columns) + len(_GAP) * max(0, len(columns) - 1)


def _lines(beside: Sequence[Cells], below: Sequence[Cells], *, bold: bool, prose_named: bool) -> list[str]:
    widths = [one.width for one in beside]
    head = _line([one.heading for one in beside], beside, widths)
    lines = [f"{BOLD}{head}{PLAIN}" if bold else head]
    for index in range(len(beside[0].texts) if beside else 0):
        lines.append(_line([one.texts[index] for one in beside], beside, widths))
        lines += [
            f"    {f'{one.heading}: ' if prose_named else ''}{one.texts[index]}"
            for one in below
            if one.texts[index] not in ("", "-")
        ]
    return lines


def _line(texts: Sequence[str], columns: Sequence[Cells], widths: Sequence[int]) -> str:
    parts = [filled(text, width, right=one.is_right) for text, one, width in zip(texts, columns, widths, strict=True)]
    return _GAP.join(parts).rstrip()


def pairs(lines: Sequence[tuple[str, str]], *, bold: bool = False) -> list[str]:
    """Names and values in two columns. A value of several lines begins below its name, unchanged."""
    width = max((width_of(name) for name, _ in lines), default=0)
    found: list[str] = []
    for name, text in lines:
        shown = f"{BOLD}{filled(name, width)}{PLAIN}" if bold else filled(name, width)
        if "\n" in text:
            found += [shown.rstrip(), *text.rstrip("\n").split("\n")]
        else:
            found.append(f"{shown}{_GAP}{text}".rstrip())
    return found

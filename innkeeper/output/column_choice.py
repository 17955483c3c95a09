"""Selects and sorts what `--columns` and `--sort` name, for tables and for JSON. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from innkeeper.api_description import similar
from innkeeper.arguments import Usage
from innkeeper.output.cells import cell
from innkeeper.output.columns import Column, find
from innkeeper.view import View

_DIGITS = re.compile(r"(\d+)", re.ASCII)
_ROWS_IN = {"events": "events"}  # responses that are a page: an object with its rows


def rows_in(plain: Any, kind: str) -> list[Any] | None:
    """The rows of a list or of a page of one; None for an object."""
    if isinstance(plain, dict) and kind in _ROWS_IN and isinstance(page := plain.get(_ROWS_IN[kind]), list):
        return page
    return plain if isinstance(plain, list) else None


def selected(plain: Any, known: Sequence[Column], kind: str, view: View) -> Any:
    """JSON with only the columns of the view, sorted. Raises Usage for a column that there is not."""
    rows = rows_in(plain, kind)
    if rows is None:
        return _selected_object(plain, known, kind, view) if isinstance(plain, dict) else plain
    if not rows or not all(isinstance(row, dict) for row in rows):
        return rows
    if view.sort:
        rows = sorted_rows(rows, view.sort, known, kind)
    chosen = [(word, found_column(word, known, rows, kind)) for word in view.columns]
    return [{word: one.value(row) for word, one in chosen} for row in rows] if chosen else rows


def sorted_rows(rows: Sequence[Any], wanted: str, known: Sequence[Column], kind: str) -> list[Any]:
    """The rows by a column, `-column` for descending; rows without a value last. Raises Usage for an unknown column."""
    one = found_column(wanted.removeprefix("-"), known, rows, kind)
    with_value = [row for row in rows if one.value(row) is not None]
    without = [row for row in rows if one.value(row) is None]
    return [*sorted(with_value, key=lambda row: _order(one.value(row)), reverse=wanted.startswith("-")), *without]


def _unknown_column(word: str, known: Sequence[Column], rows: Sequence[Any], kind: str) -> Usage:
    """The error that names the most similar column, or all."""
    keys = dict.fromkeys([*(one.title.replace(" ", "_") for one in known), *(rows[0] if rows else ())])
    near = similar(word, keys)
    if near:
        return Usage(f"{kind} has no column '{word}'. Did you mean {' or '.join(near)}?")
    return Usage(f"{kind} has no column '{word}'. One of: {', '.join(keys)}.")


def _selected_object(plain: dict[str, Any], known: Sequence[Column], kind: str, view: View) -> Any:
    if not view.columns:
        return plain
    return {word: found_column(word, known, [plain], kind).value(plain) for word in view.columns}


def found_column(word: str, known: Sequence[Column], rows: Sequence[Any], kind: str) -> Column:
    """The column that a user names. Raises Usage if there is none."""
    found = find(word, known, rows)
    if found is None:
        raise _unknown_column(word, known, rows, kind)
    return found


def _order(value: Any) -> tuple[int, Any]:
    """Numbers by value, everything else as text in which `host10` follows `host9`."""
    if isinstance(value, int | float):
        return (0, float(value))
    text = cell(value).casefold()
    return (1, [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(text) if part])

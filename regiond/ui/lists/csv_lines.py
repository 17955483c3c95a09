"""Lines of CSV for spreadsheets, in which no text is run as a formula. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

CSV = "text/csv; charset=utf-8"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # with these a spreadsheet begins a formula


def csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    """Returns one line for each row, with its end."""
    text = io.StringIO()
    csv.writer(text).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def cell(value: Any) -> str:
    """Returns the text of a value: empty for null, a list with blanks between its elements.

    A text that a spreadsheet would run as a formula begins with an apostrophe.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text

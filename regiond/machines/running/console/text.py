"""Converts the serial output of a guest to plain text. Pure.

A terminal that shows the raw bytes would obey their escape sequences, and a guest is not trusted.
"""

from __future__ import annotations

import re
import unicodedata

LAST_LINES = 40
LAST_LINES_CHARS = 4000

# Escape sequences of ECMA-48: with parameters, with a text up to its end mark, and of one character.
_ESCAPES = re.compile(
    r"""\x1b \[ [0-?]* [ -/]* [@-~]
      | \x1b [\]PX^_] [^\x07\x1b\n]* (?: \x07 | \x1b\\ )?
      | \x1b [ -/]* [0-~]
      | \x9b [0-?]* [ -/]* [@-~]""",
    re.VERBOSE,
)
_KEPT = frozenset("\n\t")


def plain_text(content: bytes) -> str:
    """Returns the text with line feeds and tabs as its only control characters; ends of lines are line feeds.

    A line that was overwritten, for example by a progress bar, has only its last content.
    """
    text = _ESCAPES.sub("", content.decode("utf-8", "replace")).replace("\r\n", "\n")
    lines = (_shown_last(line) for line in text.split("\n"))
    return "\n".join("".join(each for each in line if _is_plain(each)) for line in lines)


def last_lines(content: bytes) -> str:
    """Returns at most LAST_LINES lines that are not empty, and LAST_LINES_CHARS characters, from the end."""
    lines = [line.rstrip() for line in plain_text(content).split("\n")]
    return "\n".join([line for line in lines if line][-LAST_LINES:])[-LAST_LINES_CHARS:]


def _shown_last(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")


def _is_plain(character: str) -> bool:
    """Returns whether the character is neither a control nor one that changes the direction of text."""
    return character in _KEPT or unicodedata.category(character) not in {"Cc", "Cf", "Cs"}

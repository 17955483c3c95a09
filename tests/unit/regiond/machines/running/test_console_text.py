"""What of a console's bytes is shown as plain text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiond.machines.running.console.text import LAST_LINES, LAST_LINES_CHARS, last_lines, plain_text


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (b"\x1b[0;1;31mfailed\x1b[0m", "failed"),
        (b"\x1b]0;window title\x07text", "text"),
        (b"\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b(B\x1b=\x1b7text\x1bc", "text"),
        (b"10%\r50%\r100%\r\ndone", "100%\ndone"),
        (b"50%\r", "50%"),
        (b"\x07\x00a\x08b\x7f", "ab"),
        ("\u202eright to left, zero\u200bwidth".encode(), "right to left, zerowidth"),
        ("Zürich \u2713".encode(), "Zürich \u2713"),
        (b"cut\xe2\x9c", "cut\ufffd"),
        (b"tab\there", "tab\there"),
    ],
)
def test_what_a_terminal_would_show_is_kept(written: bytes, shown: str) -> None:
    assert plain_text(written) == shown


@given(st.binary())
def test_no_control_character_is_left(written: bytes) -> None:
    categories = {unicodedata.category(each) for each in plain_text(written) if each not in "\n\t"}
    assert categories.isdisjoint({"Cc", "Cf", "Cs"})


@given(st.binary())
def test_last_lines_are_few_and_not_empty(written: bytes) -> None:
    lines = last_lines(written)
    assert len(lines) <= LAST_LINES_CHARS
    assert len(lines.split("\n")) <= LAST_LINES


def test_last_lines_come_from_the_end() -> None:
    written = b"".join(b"line %d\n\n" % number for number in range(100))
    assert last_lines(written).split("\n") == [f"line {number}" for number in range(60, 100)]

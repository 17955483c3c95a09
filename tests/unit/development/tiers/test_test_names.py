"""Test names are sentences about behaviour of at most 70 characters."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[3]
MAX_CHARACTERS = 70
_TEST = re.compile(r"^ *(?:async )?def test_(\w+)", re.MULTILINE)


def test_test_names_have_at_most_70_characters() -> None:
    too_long = [
        f"{path.relative_to(TESTS)}: {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for name in _TEST.findall(path.read_text())
        if len(name) > MAX_CHARACTERS
    ]
    assert too_long == []

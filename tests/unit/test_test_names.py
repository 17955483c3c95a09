"""Test names are sentences about behaviour of at most 70 characters."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
MAX_CHARACTERS = 70
PREFIX = "test_"


def test_test_names_have_at_most_70_characters() -> None:
    too_long = [
        f"{path.relative_to(TESTS)}: {node.name}"
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(PREFIX)
        if len(node.name.removeprefix(PREFIX)) > MAX_CHARACTERS
    ]
    assert too_long == []

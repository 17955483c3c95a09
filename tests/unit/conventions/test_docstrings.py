"""Docstrings of the product begin with the result, not with a pronoun that leaves the reader to find the subject."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
RIDDLES = ("What ", "Of ", "Those ", "For ", "Whose ", "Which ", "Where ", "How ", "That ")
_MAY_HAVE_ONE = re.compile(rf'"""\s*(?:{"|".join(RIDDLES)})')  # to parse every module takes seconds


def test_a_docstring_begins_with_its_subject() -> None:
    files = (path for folder in ("common", "rackd", "regiond", "innkeeper") for path in (ROOT / folder).rglob("*.py"))
    found = [
        f"{path.relative_to(ROOT)}: {docstring}"
        for path in sorted(files)
        if _MAY_HAVE_ONE.search(text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if (docstring := ast.get_docstring(node) or "").startswith(RIDDLES)
    ]
    assert found == []

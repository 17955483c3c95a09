"""Messages name LXD or Incus, and its commands, by what answers: literals have neither outside of one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_DRIVER, _REGION = _ROOT / "rackd" / "drivers" / "lxd", _ROOT / "regiond"
_PRODUCT = re.compile(r"\b(?:LXD|lxc)\b")
_COMMAND = re.compile(r"\blxc (?:config|project|info|profile|storage|cluster|network|image)\b")
_BOTH = re.compile(r"\bincus\b", re.IGNORECASE)
# The names of the products themselves, and names of interfaces, which nobody reads.
_MAY_NAME_IT = {"connection/dialect.py", "inventory/usage.py"}


def _literals(file: Path) -> Iterator[str]:
    """Yields the texts of a module, those of one literal that is in parts as one, without docstrings."""
    tree = ast.parse(file.read_text(), str(file))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    parts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner = [part for part in node.values if isinstance(part, ast.Constant)]
            parts.update(map(id, inner))
            yield "…".join(str(part.value) for part in inner)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docstrings | parts):
            yield node.value


@pytest.mark.parametrize("file", sorted(_DRIVER.rglob("*.py")), ids=lambda file: str(file.relative_to(_DRIVER)))
def test_the_driver_names_no_product_outside_of_the_dialect(file: Path) -> None:
    if str(file.relative_to(_DRIVER)) not in _MAY_NAME_IT:
        assert [text for text in _literals(file) if _PRODUCT.search(text)] == []


def test_the_region_takes_commands_of_lxc_from_the_product() -> None:
    """Where a form is shown before any server is known, it has the commands of both."""
    found = [
        text
        for file in sorted(_REGION.rglob("*.py"))
        if "lxc" in file.read_text()  # to parse every module takes seconds
        for text in _literals(file)
        if _COMMAND.search(text) and not _BOTH.search(text)
    ]
    assert found == []


def test_pages_take_commands_of_lxc_from_the_product() -> None:
    found = [
        line
        for file in sorted(_REGION.rglob("*.html"))
        for line in file.read_text().splitlines()
        if _COMMAND.search(line) and not _BOTH.search(line)
    ]
    assert found == []

"""Prints the module tree with one line for each module; the documentation site has it as a page.

python -m development.generated.module_tree
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from development.generated.generated_section import CHECKOUT

PACKAGES = ("common", "regiond", "rackd", "innkeeper", "development")
_TEXT_COLUMN = 34


class NoDocstring(Exception):
    """A module has no docstring, so the tree has no line for it."""


def tree(checkout: Path = CHECKOUT) -> str:
    """Returns one line for each package and module: its name and the first line of its docstring.

    Empty `__init__.py` files are packages without a text. Raises NoDocstring.
    """
    return "\n".join(line for package in PACKAGES for line in _lines(checkout / package, depth=0))


def _lines(package: Path, *, depth: int) -> Iterator[str]:
    yield _line(f"{package.name}/", first_line(package / "__init__.py"), depth)
    for path in sorted(package.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if (path / "__init__.py").exists():
            yield from _lines(path, depth=depth + 1)
        elif path.suffix == ".py" and path.name != "__init__.py":
            yield _line(path.name, first_line(path), depth + 1)


def _line(name: str, text: str, depth: int) -> str:
    return f"{'  ' * depth + name:<{_TEXT_COLUMN}} {text}".rstrip()


def first_line(path: Path) -> str:
    """Returns the first line of a module's docstring; nothing for an empty `__init__.py`. Raises NoDocstring."""
    source = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source))
    if docstring is None:
        if path.name == "__init__.py" and not source.strip():
            return ""
        raise NoDocstring(f"{path} has no docstring; its first line belongs in the module tree.")
    return docstring.splitlines()[0]


if __name__ == "__main__":
    print(tree())

"""The files of all pages: those of the region's core, and those of its extensions."""

from __future__ import annotations

from pathlib import Path

from development.generated.generated_section import CHECKOUT
from development.generated.text_catalogue import FOLDERS


def files(pattern: str) -> list[tuple[str, Path]]:
    """Returns the files of a pattern with their names in the folder of pages, such as `templates/page.html`."""
    found = [(CHECKOUT / folder, path) for folder in FOLDERS for path in (CHECKOUT / folder).rglob(pattern)]
    return sorted((str(path.relative_to(folder)), path) for folder, path in found)


def templates() -> list[tuple[str, Path]]:
    """Returns the templates with the names by which pages render them."""
    return [(name.removeprefix("templates/"), path) for name, path in files("*.html")]

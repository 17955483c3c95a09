"""Prints the region's rooms from the top down; `--write` updates the architecture page.

python -m development.generated.room_table [--write]
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from development.generated.generated_section import CHECKOUT, GeneratedSection
from development.generated.module_tree import first_line

_CONTAINERS = ["regiond"]


def table(checkout: Path = CHECKOUT) -> str:
    """Returns a row for each layer that the import contract names: its rooms, which may import those of lower rows."""
    settings = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one.get("containers") == _CONTAINERS)
    return "\n".join(("| Room | Purpose |", "|---|---|", *(row for layer in layers for row in _rows(checkout, layer))))


def _rows(checkout: Path, layer: str) -> Iterator[str]:
    rooms = layer.replace(":", "|").replace(" ", "").split("|")
    texts = {
        name: first_line(folder) for name in rooms if (folder := checkout / "regiond" / name / "__init__.py").exists()
    }
    if texts:
        yield f"| {'<br>'.join(f'`{name}`' for name in texts)} | {'<br>'.join(texts.values())} |"


SECTION = GeneratedSection(
    page=CHECKOUT / "docs/explanation/architecture.md",
    title="rooms",
    module="development.generated.room_table",
    generate=table,
)

if __name__ == "__main__":
    SECTION.run(__doc__)

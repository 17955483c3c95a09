"""The module tree has a line for each module, and the architecture page the rooms of the import contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from development.generated.module_tree import NoDocstring, tree
from development.generated.room_table import SECTION

MAX_LINE = 140


def test_the_architecture_page_holds_the_rooms_of_the_import_contract() -> None:
    page = SECTION.page.read_text(encoding="utf-8")
    assert page == SECTION.placed_in(page, SECTION.generate()), "run python -m development.generated.room_table --write"


def test_each_line_of_the_tree_fits_a_page() -> None:
    lines = tree().splitlines()
    assert "regiond/" in "\n".join(lines)
    assert [line for line in lines if len(line) > MAX_LINE] == []


def test_a_tree_lists_modules_before_packages_with_their_first_lines(tmp_path: Path) -> None:
    for package in ("common", "regiond", "rackd", "innkeeper", "development"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "regiond/db").mkdir()
    (tmp_path / "regiond/db/__init__.py").write_text('"""PostgreSQL access."""\n')
    (tmp_path / "regiond/db/pool.py").write_text('"""Opens connections.\n\nMore."""\n')
    (tmp_path / "regiond/service.py").write_text('"""Starts the region."""\n')
    lines = [" ".join(line.split()) for line in tree(tmp_path).splitlines()]
    assert lines == [
        "common/",
        "regiond/",
        "service.py Starts the region.",
        "db/ PostgreSQL access.",
        "pool.py Opens connections.",
        "rackd/",
        "innkeeper/",
        "development/",
    ]
    (tmp_path / "regiond/service.py").write_text("x = 1\n")
    with pytest.raises(NoDocstring, match=r"service\.py has no docstring"):
        tree(tmp_path)


def test_a_section_replaces_the_text_between_its_markers() -> None:
    begin, end = SECTION.begin, SECTION.end
    assert SECTION.placed_in(f"a\n{begin}\nold\n{end}\nb\n", "new") == f"a\n{begin}\nnew\n{end}\nb\n"
    with pytest.raises(ValueError, match="lacks the markers"):
        SECTION.placed_in("nothing", "new")

"""The architecture page has the current module tree, generated from the first lines of the modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from development.module_tree import BEGIN, END, PAGE, NoDocstring, page_with_tree, tree

MAX_LINE = 140


def test_the_architecture_page_holds_the_current_module_tree() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_tree(page, tree()), "run: python -m development.module_tree --write"


def test_each_line_of_the_tree_fits_a_page() -> None:
    assert [line for line in tree().splitlines() if len(line) > MAX_LINE] == []


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


def test_the_tree_replaces_the_text_between_the_markers() -> None:
    assert page_with_tree(f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\n```\nnew\n```\n{END}\nb\n"
    with pytest.raises(ValueError, match="lacks the markers"):
        page_with_tree("nothing", "new")

"""The page of roles has the table that the declarations of the API say."""

from __future__ import annotations

import pytest

from development.role_table import BEGIN, END, PAGE, page_with_tables, tables


def test_the_roles_page_holds_the_current_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_tables(page, tables()), "run: python -m development.role_table --write"


def test_the_table_says_who_may_what() -> None:
    lines = tables().splitlines()
    for line in (
        "| `GET machines/` | List machines |  | yes | yes | yes |",
        "| `POST machines/?op=allocate` | Allocate a machine |  |  | yes | yes |",
        "| `POST machines/{system_id}/?op=power_on` | Power a machine on |  |  | own | yes |",
        "| `POST vm-hosts/` | Add a VM host |  |  |  | yes |",
        "| `GET version/` | Read version and capabilities | yes | yes | yes | yes |",
        "| `client.power` |  |  | own | yes |",
    ):
        assert line in lines


def test_the_tables_replace_the_text_between_the_markers() -> None:
    assert page_with_tables(f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\n\nnew\n\n{END}\nb\n"
    with pytest.raises(ValueError, match="lacks the markers"):
        page_with_tables("nothing", "new")

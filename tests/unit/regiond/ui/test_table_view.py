"""Tables whose order, page and size the address holds."""

from __future__ import annotations

import pytest

from regiond.ui.views.table_view import in_memory
from regiond.ui.web_request import WebRequest

COLUMNS = {"name": lambda row: row[0], "size": lambda row: row[1]}
ROWS = [(f"host-{number:03}", number % 7 or None) for number in range(60)]


def request(**query: str) -> WebRequest:
    return WebRequest(method="GET", path="/MAAS/ui/hosts", query=tuple(query.items()))


def test_the_first_page_has_fifty_rows_in_the_default_order() -> None:
    view = in_memory(request(), ROWS, COLUMNS, default="name")
    assert (view.first, view.last, view.total, view.pages) == (1, 50, 60, 2)
    assert view.rows[0][0] == "host-000"


def test_unknown_values_come_last_in_both_directions() -> None:
    for sort in ("size", "-size"):
        view = in_memory(request(sort=sort, size="200"), ROWS, COLUMNS, default="name")
        assert view.rows[-1][1] is None
        assert view.rows[0][1] is not None


@pytest.mark.parametrize("query", [{"sort": "nope"}, {"size": "7"}, {"page": "-1"}, {"page": "99"}, {"page": "x"}])
def test_an_address_that_nobody_made_is_no_error(query: dict[str, str]) -> None:
    view = in_memory(request(**query), ROWS, COLUMNS, default="name")
    assert view.rows


def test_links_keep_the_other_parameters() -> None:
    view = in_memory(request(q="ho", sort="name", page="2"), ROWS, COLUMNS, default="name")
    assert view.sort_url("name") == "/MAAS/ui/hosts?q=ho&sort=-name"
    assert view.page_url(1) == "/MAAS/ui/hosts?q=ho&sort=name"
    assert view.direction_of("name") == "ascending"
    assert view.direction_of("size") is None
    assert view.kept == [("q", "ho"), ("sort", "name")]

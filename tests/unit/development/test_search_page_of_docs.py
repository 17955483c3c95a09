"""The reference page of searches has every field as it is declared."""

from __future__ import annotations

from pathlib import Path

from regiond.hosts.search.fields import HOST_FIELDS
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.requests.search_query import parse

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "search.md"


def test_the_page_has_every_field_with_its_choices_and_example() -> None:
    _, vms, hosts = PAGE.read_text(encoding="utf-8").split("\n## Fields of ")
    for fields, part in ((MACHINE_FIELDS, vms), (HOST_FIELDS, hosts)):
        rows = {line.split("`")[1]: line for line in part.splitlines() if line.startswith("| `")}
        assert list(rows) == list(fields)
        for one in fields.values():
            assert f"`{one.example}`" in rows[one.name]
            assert all(f"`{choice}`" in rows[one.name] for choice in one.choices)


def test_every_example_is_a_search() -> None:
    for fields in (MACHINE_FIELDS, HOST_FIELDS):
        for one in fields.values():
            assert parse(one.example, fields).fields == {one.name}

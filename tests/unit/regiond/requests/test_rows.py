"""Rows become values, and objects that do not exist are NotFound."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from common.errors import NotFound
from regiond.db.pool import of_row
from regiond.requests.identifiers import findable, is_name, storable
from regiond.requests.validation_messages import existing


@frozen(kw_only=True)
class Disk:
    id: int
    name: str
    tags: tuple[str, ...] = ()


ROW: Any = {"id": 7, "name": "root", "tags": ["fast"], "machine_id": 3}


def test_attributes_are_the_columns_of_their_names() -> None:
    assert of_row(Disk, ROW, tags=("slow",)) == Disk(id=7, name="root", tags=("slow",))


def test_a_missing_column_is_an_error_also_with_a_default() -> None:
    row: Any = {"id": 7, "name": "root"}
    with pytest.raises(KeyError):
        of_row(Disk, row)


def test_an_unknown_attribute_is_an_error() -> None:
    with pytest.raises(TypeError):
        of_row(Disk, ROW, size=1)


def test_an_object_that_does_not_exist_is_named() -> None:
    assert existing(0, "zone", "east") == 0
    with pytest.raises(NotFound, match=r"There is no zone 'east'\."):
        existing(None, "zone", "east")
    with pytest.raises(NotFound, match=r"There is no VLAN 7\."):
        existing(None, "VLAN", 7)


def test_texts_that_postgresql_rejects() -> None:
    assert findable("east\0") == "east\ufffd"
    assert storable("lost\0 \ud800 contact") == "lost ? contact"


@pytest.mark.parametrize(
    ("text", "expected"), [("_a b-c", True), ("ä1", True), (" a", False), ("-a", False), ("", False)]
)
def test_names_of_zones_pools_and_networks(text: str, expected: bool) -> None:
    assert is_name(text) is expected

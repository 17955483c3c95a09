"""Drives have the names that Linux gives them."""

from __future__ import annotations

import pytest

from common.drive_names import drive_name


@pytest.mark.parametrize(("index", "name"), [(0, "sda"), (25, "sdz"), (26, "sdaa"), (701, "sdzz"), (702, "sdaaa")])
def test_drives_are_named_as_linux_names_them(index: int, name: str) -> None:
    assert drive_name("sd", index) == name

"""Which forms the page of an outage carries, to be sent again."""

from __future__ import annotations

import pytest

from regiond.ui.serving.kept_form import repeatable

FORM = {"csrf": ("a",), "hostname": ("web-1",), "tags": ("a", "b")}


def test_a_form_is_carried_whole() -> None:
    assert repeatable(FORM) == FORM
    assert repeatable(FORM | {"power_pass": ("",)})["hostname"] == ("web-1",)


@pytest.mark.parametrize("name", ["password", "repeated", "current_password", "power_pass", "key"])
def test_a_form_with_a_secret_is_not_carried(name: str) -> None:
    assert repeatable(FORM | {name: ("hunter2",)}) == {}

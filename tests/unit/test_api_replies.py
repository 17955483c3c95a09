"""Response bodies."""

from __future__ import annotations

from typing import Any

import pytest

from regiond.api.replies import json_reply, list_reply


@pytest.mark.parametrize("items", [[], [{}], [{"a": [1, {"b": None}], "é": "\n"}, {"c": []}], [1, "x", [2, 3]]])
def test_a_list_reply_has_the_same_bytes_as_a_json_reply(items: list[Any]) -> None:
    assert list_reply(iter(items)) == json_reply(items)

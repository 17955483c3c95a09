"""The text of the API's answers: the standard library's own, byte for byte."""

from __future__ import annotations

import json
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiond.api.json_text import indented
from regiond.api.replies import list_reply


class Word(StrEnum):
    ON = "on"


class Number(IntEnum):
    FOUR = 4


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(),
    st.sampled_from([Word.ON, Number.FOUR]),
)  # fmt: skip
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(st.text(), inner)),
    max_leaves=20,
)


@settings(max_examples=60)
@given(_VALUES)
def test_it_is_what_the_standard_library_writes(value: Any) -> None:
    assert indented(value) == json.dumps(value, indent=4, allow_nan=False)


def test_keys_are_nothing_but_text() -> None:
    odd = {"%": 1, "%s": "%d", "{}": {"%%": []}, '"\n': None}
    assert indented([odd, odd]) == json.dumps([odd, odd], indent=4)


@settings(max_examples=30)
@given(st.lists(_VALUES, max_size=4))
def test_a_list_made_one_item_at_a_time_is_the_same_text(items: list[Any]) -> None:
    assert list_reply(items).body == json.dumps(items, indent=4, allow_nan=False).encode("ascii")


@pytest.mark.parametrize(("value", "refused"), [(float("nan"), ValueError), ({"a": object()}, TypeError)])
def test_what_json_cannot_hold_is_refused(value: object, refused: type[Exception]) -> None:
    with pytest.raises(refused):
        indented(value)

"""JSON responses have the standard library's text, byte for byte."""

from __future__ import annotations

import json
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiond.api.json_text import indented


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
def test_the_text_is_that_of_the_standard_library(value: Any) -> None:
    assert indented(value) == json.dumps(value, indent=4, allow_nan=False)


def test_keys_must_be_text() -> None:
    odd = {"%": 1, "%s": "%d", "{}": {"%%": []}, '"\n': None}
    assert indented([odd, odd]) == json.dumps([odd, odd], indent=4)


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), ({"a": object()}, TypeError)])
def test_values_that_are_not_json_are_rejected(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        indented(value)

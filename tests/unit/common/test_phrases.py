"""Phrases of messages."""

from __future__ import annotations

import pytest

from common.words.phrases import first_of, number_of


@pytest.mark.parametrize(
    ("number", "noun", "phrase"),
    [
        (0, "VM", "0 VMs"),
        (1, "VM", "1 VM"),
        (2, "VM host", "2 VM hosts"),
        (1, "address", "1 address"),
        (3, "address", "3 addresses"),
    ],
)
def test_a_number_has_its_noun_in_the_right_form(number: int, noun: str, phrase: str) -> None:
    assert number_of(number, noun) == phrase


@pytest.mark.parametrize(("most", "phrase"), [(1, "a and 2 more"), (2, "a, b and 1 more"), (3, "a, b, c")])
def test_texts_beyond_the_first_are_counted(most: int, phrase: str) -> None:
    assert first_of(["a", "b", "c"], most) == phrase

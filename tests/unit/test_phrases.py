"""Phrases of messages."""

from __future__ import annotations

import pytest

from common.phrases import number_of


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

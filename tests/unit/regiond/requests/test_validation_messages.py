"""Messages for values that are unknown: they name similar ones, also of very many, without a pause."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pytest

from regiond.requests.validation_messages import no_object, no_objects

HOSTS = [f"hv-{number:05}.rack{number % 40}.example.com" for number in range(10_000)]


@pytest.mark.parametrize(
    "typed",
    ["hv-01234.rack34.exmple.com", "hw-01234.rack34.example.com", "hv-1234.rack34.example.com", "hv-01234.rack34"],
)
def test_a_typing_error_finds_one_of_10000_hosts_at_once(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    class Counting(difflib.SequenceMatcher[str]):
        def set_seq1(self, a: Sequence[str]) -> None:
            compared.append(str(a))
            super().set_seq1(a)

    monkeypatch.setattr(difflib, "SequenceMatcher", Counting)
    message = no_object("VM host", typed, near=HOSTS)
    assert 0 < len(compared) < 100  # one takes up to 0.1 ms
    assert message.startswith(f"There is no VM host {typed!r}. Did you mean 'hv-")
    assert "rack34.example.com" in message


def test_only_the_first_of_many_unknown_values_name_choices() -> None:
    messages = no_objects("zone", ["a", "b", "c", "d"], ["west", "east"])
    assert messages[2:] == ["There is no zone 'c'; there are west, east.", "There is no zone 'd'."]

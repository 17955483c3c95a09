"""How pages print amounts, times and ranges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiond.ui.texts import reading_in
from regiond.ui.views import formats
from regiond.ui.words.api_field_words import api_field_words
from tests.unit.support.pseudo_language import Pseudo

NOW = datetime(2026, 11, 21, 14, 32, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (formats.number(1677), "1,677"), (formats.number(1.5), "1.5"), (formats.gib(4096), "4"),
        (formats.memory(512), "512 MiB"), (formats.memory(1536), "1.5 GiB"), (formats.memory(0), "0 GiB"),
        (formats.storage(8_000_000_000), "8 GB"), (formats.storage(2_500_000_000_000), "2.5 TB"),
        (formats.file_size(512), "0.5 kB"), (formats.file_size(1_048_576), "1 MB"),
        (formats.file_size(2_147_483_648), "2.1 GB"),
        (formats.share(1, 3), "33 %"), (formats.share(1, 0), "–"),
        (formats.ago(NOW - timedelta(seconds=4), NOW), "4 s ago"), (formats.span(timedelta(minutes=61)), "1 h"),
        (formats.span(timedelta(days=3)), "3 days"), (formats.clock(NOW, NOW), "14:32:08"),
        (formats.clock(NOW - timedelta(days=1), NOW), "20 Nov 14:32"), (formats.iso(NOW), "2026-11-21T14:32:08.000Z"),
    ],
)  # fmt: skip
def test_amounts_and_times_are_short_and_have_units(printed: str, expected: str) -> None:
    assert printed == expected


def test_a_clock_that_is_behind_shows_no_negative_age() -> None:
    assert formats.ago(NOW + timedelta(seconds=3), NOW) == "0 s ago"


@given(st.sets(st.integers(0, 200)))
def test_ranges_name_exactly_their_numbers(numbers: set[int]) -> None:
    found: set[int] = set()
    for part in filter(None, formats.ranges(numbers).split(", ")):
        first, _, last = part.partition("–")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == numbers


def test_fields_are_named_in_words() -> None:
    names = ("power_address", "cpu_over_commit_ratio", "reserved_cores", "new-key")
    assert [api_field_words(name) for name in names] == ["address", "CPU ratio", "reserved cores", "new key"]


def test_a_date_is_translated() -> None:
    with reading_in(Pseudo()):
        assert formats.clock(NOW - timedelta(days=1), NOW) == "20 жжж 14:32"
        assert formats.clock(NOW - timedelta(days=800), NOW) == "12 жжж 2024"

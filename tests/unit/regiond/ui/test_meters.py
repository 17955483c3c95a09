"""Meters of what is ours, others' and free."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.hosts.capacity import ResourceCapacity
from regiond.ui.views.meter import meter_of


def test_a_meter_says_in_words_what_it_draws() -> None:
    meter = meter_of("CPU cores", ResourceCapacity(total=64, claimable=87, claimed=52, elsewhere=8, free=27))
    assert meter.description == "CPU cores: 60 of 87 allocated; ours 52, others 8, free 27"
    assert [(part.kind, part.start, part.width) for part in meter.parts] == [
        ("ours", "0%", "59.77%"), ("others", "59.77%", "9.195%")
    ]  # fmt: skip


def test_what_is_over_is_a_part_and_a_word() -> None:
    meter = meter_of("RAM", ResourceCapacity(total=248, claimable=248, claimed=214, elsewhere=46), unit="GiB")
    assert meter.over == "12"
    assert meter.parts[-1].kind == "over"
    assert "12 over" in meter.description


def test_nothing_claimable_draws_nothing() -> None:
    assert meter_of("Functions", ResourceCapacity()).parts == ()


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_the_parts_never_overflow_nor_overlap(claimable: int, claimed: int, elsewhere: int) -> None:
    meter = meter_of("Any", ResourceCapacity(claimable=claimable, claimed=claimed, elsewhere=elsewhere))
    end = 0.0
    for part in meter.parts:
        start, width = float(part.start.rstrip("%")), float(part.width.rstrip("%"))
        assert start >= end - 0.1
        end = start + width
    assert end <= 100.2

"""Sparklines and tiles of usage."""

from __future__ import annotations

import re

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.hosts.usage import Usage, UsageHistory
from regiond.ui.usage.sparkline import HEIGHT, WIDTH, sparkline
from regiond.ui.usage.usage_card import usage_card
from regiond.usage.model import UsageView
from tests.unit.answers.usage import AT, UNKNOWN, USED, USED_BY_HOST

AGES = (20.0, 10.0, 0.0)


def coordinates(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([0-9.]+),([0-9.]+)", path)]


def test_a_line_ends_with_the_newest_sample_at_the_right() -> None:
    found = sparkline((60.0, 30.0, 0.0), (0.0, 50.0, 100.0), whole=100)
    assert found is not None
    assert coordinates(found.line) == [(0.0, 26.5), (60.0, 14.0), (120.0, 1.5)]
    assert found.area.startswith("M0,28 ")
    assert found.area.endswith(" 120,28Z")


def test_a_gap_interrupts_the_line() -> None:
    found = sparkline((120.0, 60.0, 30.0, 0.0), (1.0, None, 1.0, 1.0))
    assert found is not None
    assert found.line.count("M") == found.area.count("Z") == 2


def test_a_line_needs_two_known_samples() -> None:
    assert sparkline(AGES, (None, None, 1.0)) is None
    assert sparkline((), ()) is None


@given(
    values=st.lists(st.none() | st.floats(0, 1e15, allow_nan=False), max_size=400),
    whole=st.none() | st.floats(1, 1e15, allow_nan=False),
)
def test_every_point_is_inside_and_few_are_drawn(values: list[float | None], whole: float | None) -> None:
    ages = [10.0 * age for age in reversed(range(len(values)))]
    found = sparkline(ages, values, whole=whole)
    if found is None:
        return
    points = coordinates(found.line)
    assert all(0 <= x <= WIDTH + 1 and 0 <= y <= HEIGHT for x, y in points)
    assert len(points) <= 2 * 120


def test_tiles_have_the_newest_numbers_and_the_largest() -> None:
    card = usage_card(USED)
    assert [(one.label, one.value, one.note) for one in card.tiles] == [
        ("CPU", "50 %", "1 of 2 cores"),
        ("RAM", "1 GiB", "of 2 GiB"),
        ("Disk", "3.1 kB/s", "2 kB/s read, 1 kB/s written"),
        ("Network", "0.4 kB/s", "0.1 kB/s in, 0.3 kB/s out"),
    ]
    assert card.tiles[0].description == "CPU in the last hour: now 50 %, at most 50 %"
    assert card.tiles[3].description == "Network in the last hour: now 0.4 kB/s, at most 0.6 kB/s"
    assert all(one.line is not None for one in card.tiles)


def test_a_card_without_a_sample_says_why() -> None:
    card = usage_card(UNKNOWN)
    assert (card.tiles, card.reason, card.sampled_at) == ((), "web-1 is off.", None)


def test_sums_of_guests_are_named() -> None:
    assert usage_card(USED_BY_HOST).note == "Disk and network: sum of its VMs"
    summed = evolve(USED_BY_HOST, summed=("cpu_cores", "memory_used_bytes"))
    assert [one.note for one in usage_card(summed).tiles[:2]] == ["of its VMs", "of its VMs"]


def test_a_card_links_to_a_longer_history() -> None:
    for view in (USED, UNKNOWN):
        linked = evolve(view, longer_history_url="https://grafana/")
        assert usage_card(linked).longer_history_url == "https://grafana/"
    assert usage_card(USED).longer_history_url == ""


def test_unknown_numbers_are_dashes() -> None:
    card = usage_card(UsageView(sampled_at=AT, usage=Usage(), history=UsageHistory()))
    assert [one.value for one in card.tiles] == ["–"] * 4
    assert all(one.line is None for one in card.tiles)

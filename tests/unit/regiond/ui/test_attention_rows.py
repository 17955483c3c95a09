"""How pages show items that need attention, and which events the overview groups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from regiond.attention.model import AttentionGroup, AttentionKind, ObjectType, Severity
from regiond.events.model import Event, Level
from regiond.ui.attention.attention_row import KindLine, attention_row, overview_lines
from regiond.ui.attention.kind_words import KIND_WORDS, kind_text
from regiond.ui.words.event_groups import WITHIN, grouped
from tests.unit.support.api_samples import ADMIN, ATTENTION_ITEM, USER

AT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
UI = "/MAAS/ui/"


@pytest.mark.parametrize("kind", AttentionKind)
def test_every_kind_has_words_and_an_action(kind: AttentionKind) -> None:
    assert kind in KIND_WORDS
    for object_type in ObjectType:
        item = evolve(ATTENTION_ITEM, kind=kind, object_type=object_type)
        for caller in (ADMIN, USER):
            row = attention_row(item, caller)
            assert row.url.startswith(UI)
            assert row.help.url.startswith(UI)


def test_only_administrators_are_offered_what_only_they_can_do() -> None:
    missing = attention_row(ATTENTION_ITEM, ADMIN).help
    assert (missing.label, missing.url, missing.sends) == ("Refresh host", f"{UI}hosts/4/refresh", True)
    assert attention_row(ATTENTION_ITEM, USER).help.url == f"{UI}vms/wdpx3n"
    failed = attention_row(evolve(ATTENTION_ITEM, kind=AttentionKind.VM_FAILED_COMPOSE), ADMIN).help
    assert (failed.url, failed.asks, missing.asks) == (f"{UI}vms/wdpx3n/delete", True, False)
    homeless = evolve(ATTENTION_ITEM, host_id=None)
    assert attention_row(homeless, ADMIN).help.label == "Open"


def group(kind: AttentionKind, count: int, severity: Severity = Severity.BROKEN) -> AttentionGroup:
    items = (evolve(ATTENTION_ITEM, kind=kind, severity=severity),) * min(count, 4)
    return AttentionGroup(kind=kind, count=count, broken=count if severity is Severity.BROKEN else 0, items=items)


def test_the_overview_shows_few_items_and_counts_many() -> None:
    groups = [
        group(AttentionKind.HOST_STALE, 2, Severity.CAUTION), group(AttentionKind.VM_MISSING, 412),
        group(AttentionKind.RACK_AWAY, 1),
    ]  # fmt: skip
    many, rack, *stale = overview_lines(groups, ADMIN)
    assert isinstance(many, KindLine)
    assert (many.text, many.url) == ("412 VMs are missing from their hosts", f"{UI}attention?kind=vm_missing")
    assert not isinstance(rack, KindLine)
    assert rack.item.kind is AttentionKind.RACK_AWAY
    assert len(stale) == 2
    assert len(overview_lines([group(kind, 3) for kind in AttentionKind], ADMIN)) == 10
    assert kind_text(AttentionKind.DISCREPANCY, 1) == "1 discrepancy"


def event(number: int, **changed: Any) -> Event:
    at = AT - timedelta(minutes=number)
    made = Event(
        id=1000 - number, at=at, kind="machine_composed", level=Level.INFO, message=f"vm-{number} was composed",
        username="alice",
    )  # fmt: skip
    return evolve(made, **changed)


def test_equal_events_are_one_line() -> None:
    events = [event(number) for number in range(12)]
    events.insert(3, event(3, username="bob", system_id="abc123", hostname="vm-3"))
    events.insert(5, event(5, kind="logged_in"))
    alice, bob = grouped(events, most=5)
    assert (alice.text, alice.at, alice.url) == ("12 VMs composed by alice", AT, None)
    assert (bob.text, bob.url) == ("vm-3 was composed", f"{UI}vms/abc123")


def test_a_pause_ends_a_group() -> None:
    events = [event(0), event(10), event(10 + int(WITHIN.total_seconds() // 60) + 1)]
    assert [one.text for one in grouped(events, most=5)] == ["2 VMs composed by alice", "vm-71 was composed"]


def test_an_unknown_kind_is_counted_too() -> None:
    events = [event(number, kind="moon_risen", username=None) for number in range(2)]
    assert [one.text for one in grouped(events, most=5)] == ["2 times: moon risen"]


@given(st.lists(st.tuples(st.integers(0, 500), st.sampled_from(("a", "b")), st.sampled_from((None, "x", "y")))))
def test_no_event_is_lost_or_counted_twice(facts: list[tuple[int, str, str | None]]) -> None:
    events = [event(number, kind=kind, username=user) for number, kind, user in sorted(facts, key=lambda one: one[0])]
    groups = grouped(events, most=10_000)
    assert sum(one.count for one in groups) == len(events)
    assert [one.at for one in groups] == sorted((one.at for one in groups), reverse=True)

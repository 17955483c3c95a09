from __future__ import annotations

import math
from datetime import timedelta

import pytest
from attrs import evolve

from common.hosts.usage import GuestUsage, HostUsage, Usage
from regiond.machines.values.search import MachineColumn
from regiond.usage.model import amount_of, filled_url, host_view, machine_view, percent, plausible, plausible_history
from tests.unit.answers.usage import AT, HISTORY, USED

NOW = AT + timedelta(seconds=5)
LONG_AGO = AT - timedelta(days=1)
HOST = HostUsage(
    host_id=1, at=AT, usage=Usage(cpu_cores=2.0), guests=(GuestUsage(name="web", usage=Usage(cpu_cores=0.5)),)
)


def machine(found: HostUsage | None, *, since: object = LONG_AGO, now: object = NOW) -> tuple[float | None, str]:
    view = machine_view(found, "east", "web", cores=2, memory_mib=1024, now=now, since=since)  # type: ignore[arg-type]
    return view.cpu_percent, view.reason


def test_a_share_is_of_all_cores() -> None:
    assert machine(HOST) == (25.0, "")
    assert host_view(HOST, "east", cores=8, memory_mib=None, now=NOW).cpu_percent == 25.0
    assert percent(3.0, 2) == 100.0
    assert percent(1.0, None) is None


def test_the_reason_names_the_host() -> None:
    assert machine(None) == (None, "No rack has measured VM host east since it was connected.")
    late = NOW + timedelta(hours=1)
    assert machine(HOST, now=late) == (None, "VM host east was last measured at 12:00:00 UTC.")
    assert machine(evolve(HOST, guests=())) == (None, "It did not run when VM host east was last measured.")


def test_a_sample_of_an_earlier_guest_is_not_shown() -> None:
    assert machine(HOST, since=AT + timedelta(seconds=1))[0] is None
    found = plausible_history(HISTORY, since=AT - timedelta(seconds=10))
    assert found.ages_s == (10.0, 0.0)
    assert found.cpu_cores == (0.5, 1.0)


@pytest.mark.parametrize("lie", [math.nan, math.inf, -1.0, 1e30])
def test_numbers_that_no_host_has_are_unknown(lie: float) -> None:
    assert plausible(Usage(cpu_cores=lie, read_rate=1.0)) == Usage(read_rate=1.0)
    found = plausible_history(evolve(HISTORY, sent_rate=(1.0, lie, 2.0)))
    assert found.sent_rate == (1.0, None, 2.0)


def test_a_history_of_columns_of_different_lengths_is_completed() -> None:
    found = plausible_history(evolve(HISTORY, sent_rate=(1.0,)))
    assert found.sent_rate == (1.0, None, None)
    assert plausible_history(evolve(HISTORY, ages_s=(math.nan, 10.0, 0.0))).ages_s == ()
    many = plausible_history(evolve(HISTORY, ages_s=(0.0,) * 5000, cpu_cores=(1.0,) * 5000))
    assert len(many.ages_s) == len(many.cpu_cores) == 1000


def test_columns_of_lists_add_both_directions() -> None:
    amounts = [amount_of(USED.usage, column) for column in MachineColumn if column.value.endswith("_used")]
    assert amounts == [1.0, 1024**3, 3072.0, 400.0]
    assert amount_of(Usage(read_rate=2.0), MachineColumn.DISK_USED) == 2.0
    assert amount_of(Usage(), MachineColumn.NETWORK_USED) is None


def test_names_in_a_link_are_quoted() -> None:
    template = "https://grafana/d/vm?var-host={host_id}&var-guest={guest}"
    assert filled_url(template, 3, "a&b {host_id}") == "https://grafana/d/vm?var-host=3&var-guest=a%26b%20%7Bhost_id%7D"
    assert filled_url(template, 3) == "https://grafana/d/vm?var-host=3&var-guest="
    assert filled_url(None, 3) == ""

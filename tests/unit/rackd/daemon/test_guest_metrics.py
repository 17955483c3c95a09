from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from rackd.drivers.usage_counters import GuestCounters, HostCounters
from rackd.usage.guest_metrics import GuestMetrics, rows
from rackd.usage.history import Histories, Reading


def scraped(*guests: GuestCounters) -> str:
    registry, histories = CollectorRegistry(), Histories()
    GuestMetrics(registry, histories)
    histories.add(7, Reading(counters=HostCounters(guests=guests, cpu_ns=3_000_000_000), at_s=1.0, clock_s=1.0))
    return generate_latest(registry).decode()


def test_counters_of_guests_are_as_the_hypervisor_reports_them() -> None:
    text = scraped(GuestCounters(name="web", project="p", cpu_ns=1_500_000_000, memory_used_bytes=10, sent_bytes=5))
    labels = '{guest="web",host_id="7",project="p"}'
    assert f"innkeeper_guest_cpu_seconds_total{labels} 1.5" in text
    assert f"innkeeper_guest_memory_used_bytes{labels} 10.0" in text
    assert f"innkeeper_guest_network_sent_bytes_total{labels} 5.0" in text
    assert 'innkeeper_host_cpu_seconds_total{host_id="7"} 3.0' in text


def test_what_is_unknown_is_no_metric() -> None:
    assert "innkeeper_guest_disk_read_bytes_total{" not in scraped(GuestCounters(name="web"))


def test_each_metric_is_in_the_reference() -> None:
    text = scraped()
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} == {name for name, *_ in rows()}

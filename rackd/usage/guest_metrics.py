"""The counters of hosts and guests for Prometheus, as their hypervisors report them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rackd.drivers.usage_counters import GuestCounters, HostCounters
from rackd.usage.history import MAX_GUESTS, Histories

_NS = 1e9
_GUEST_LABELS = ("host_id", "project", "guest")


@frozen(kw_only=True)
class _Value:
    """One metric. `name` ends in its unit; `attribute` is that of the counters."""

    name: str
    text: str
    attribute: str
    scale: float = 1.0
    counts: bool = True  # grows until its guest or host starts again


_OF_GUESTS = (
    _Value(name="guest_cpu_seconds", text="CPU time of all cores of a guest.", attribute="cpu_ns", scale=1 / _NS),
    _Value(
        name="guest_memory_used_bytes", text="Memory that a guest uses.", attribute="memory_used_bytes", counts=False
    ),
    _Value(name="guest_memory_bytes", text="Memory that a guest has.", attribute="memory_bytes", counts=False),
    _Value(name="guest_disk_read_bytes", text="Bytes that a guest has read from its disks.", attribute="read_bytes"),
    _Value(name="guest_disk_written_bytes", text="Bytes that a guest has written.", attribute="written_bytes"),
    _Value(name="guest_network_received_bytes", text="Bytes that a guest's NICs received.", attribute="received_bytes"),
    _Value(name="guest_network_sent_bytes", text="Bytes that a guest's NICs sent.", attribute="sent_bytes"),
)
_OF_HOSTS = (
    _Value(
        name="host_cpu_seconds", text="CPU time of all cores of a host, where its hypervisor reports it.",
        attribute="cpu_ns", scale=1 / _NS,
    ),
    _Value(
        name="host_memory_used_bytes", text="Memory that a host uses, where its hypervisor reports it.",
        attribute="memory_used_bytes", counts=False,
    ),
)  # fmt: skip


class GuestMetrics(Collector):
    """Shows the newest counters of all hosts and guests in each scrape of the registry."""

    def __init__(self, registry: CollectorRegistry, histories: Histories) -> None:
        self._histories = histories
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: the registry would otherwise collect at registration to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        hosts = [(str(one.host_id), one.reading.counters) for one in self._histories if one.reading is not None]
        for value in _OF_HOSTS:
            yield _family(value, ("host_id",), (((host_id,), found) for host_id, found in hosts))
        for value in _OF_GUESTS:
            yield _family(value, _GUEST_LABELS, _guests(hosts))


def _guests(hosts: Iterable[tuple[str, HostCounters]]) -> Iterator[tuple[tuple[str, ...], GuestCounters]]:
    for host_id, counters in hosts:
        for one in counters.guests[:MAX_GUESTS]:
            yield (host_id, one.project, one.name), one


def _family(
    value: _Value,
    labels: tuple[str, ...],
    rows: Iterable[tuple[tuple[str, ...], GuestCounters | HostCounters]],
) -> Metric:
    kind = CounterMetricFamily if value.counts else GaugeMetricFamily
    family = kind(f"innkeeper_{value.name}", value.text, labels=labels)
    for names, counters in rows:
        number = getattr(counters, value.attribute)
        if number is not None:
            family.add_metric(names, number * value.scale)
    return family


def rows() -> tuple[tuple[str, str, str], ...]:
    """Returns name, type and meaning of each metric, for the reference."""
    return tuple(
        (f"innkeeper_{one.name}{'_total' if one.counts else ''}", "counter" if one.counts else "gauge", one.text)
        for one in (*_OF_GUESTS, *_OF_HOSTS)
    )

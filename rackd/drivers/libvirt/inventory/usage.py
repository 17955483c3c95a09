"""Turns libvirt's statistics of domains and of the node into counters of usage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.host_reader import NodeStats
from rackd.drivers.libvirt.connection.test_driver import DomainStats
from rackd.drivers.usage_counters import GuestCounters, HostCounters

_KIB = 1024
_BUSY = ("kernel", "user")  # libvirt's names of the times that are neither idle nor waiting for a disk


def read(client: Client) -> HostCounters:
    """Returns the counters of the node and of its active domains, in four calls."""
    calls_before = client.calls
    domains, node = client.active_usage(), client.node_stats()
    return counters_of(domains, node, calls=client.calls - calls_before)


def counters_of(domains: Iterable[tuple[str, DomainStats]], node: NodeStats, *, calls: int) -> HostCounters:
    """Returns the counters of the node and of active domains, given by name."""
    total = node.memory.get("total")
    free = _free_kib(node.memory)
    return HostCounters(
        guests=tuple(guest_counters(name, stats) for name, stats in domains),
        cores=node.cores or None,
        cpu_ns=sum(node.cpu[name] for name in _BUSY) if all(name in node.cpu for name in _BUSY) else None,
        memory_bytes=None if total is None else total * _KIB,
        memory_used_bytes=None if total is None or free is None else max(0, total - free) * _KIB,
        calls=calls,
    )


def _free_kib(memory: Mapping[str, int]) -> int | None:
    """Caches count as free: the kernel gives them up."""
    if "free" not in memory:
        return None
    return memory["free"] + memory.get("buffers", 0) + memory.get("cached", 0)


def guest_counters(name: str, stats: DomainStats) -> GuestCounters:
    current, reported = _number(stats, "balloon.current"), _reported_bytes(stats)
    return GuestCounters(
        name=name,
        cores=_number(stats, "vcpu.current"),
        cpu_ns=_cpu_ns(stats),
        memory_bytes=None if current is None else current * _KIB,
        memory_used_bytes=_resident_bytes(stats) if reported is None else reported,
        memory_is_reported=reported is not None,
        read_bytes=_sum(stats, "block", "rd.bytes"),
        written_bytes=_sum(stats, "block", "wr.bytes"),
        received_bytes=_sum(stats, "net", "rx.bytes"),
        sent_bytes=_sum(stats, "net", "tx.bytes"),
    )


def _cpu_ns(stats: DomainStats) -> int | None:
    """The time of the virtual cores alone; without it that of the whole process, with its input and output."""
    cores = _number(stats, "vcpu.current") or 0
    times = [_number(stats, f"vcpu.{index}.time") for index in range(_number(stats, "vcpu.maximum") or cores)]
    known = [one for one in times if one is not None]
    if cores and len(known) >= cores:
        return sum(known)
    return _number(stats, "cpu.time")


def _reported_bytes(stats: DomainStats) -> int | None:
    """The guest's balloon driver reports `available` (all that its system has) and what is `usable` or `unused`."""
    total = _number(stats, "balloon.available")
    free = _number(stats, "balloon.usable")
    free = _number(stats, "balloon.unused") if free is None else free
    return None if total is None or free is None else max(0, total - free) * _KIB


def _resident_bytes(stats: DomainStats) -> int | None:
    resident, current = _number(stats, "balloon.rss"), _number(stats, "balloon.current")
    if resident is None:
        return None
    return (resident if current is None else min(resident, current)) * _KIB


def _sum(stats: DomainStats, group: str, counter: str) -> int | None:
    """The sum over the devices of a group; None if the group was not read."""
    count = _number(stats, f"{group}.count")
    if count is None:
        return None
    return sum(_number(stats, f"{group}.{index}.{counter}") or 0 for index in range(count))


def _number(stats: DomainStats, key: str) -> int | None:
    found = stats.get(key)
    return int(found) if isinstance(found, int) and found >= 0 else None

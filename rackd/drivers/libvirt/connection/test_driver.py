"""Completes the statistics of libvirt's test driver, which report only the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rackd.drivers.libvirt.xml import attribute, bytes_at, parse, text_at

DomainStats = Mapping[str, int | str | bool]


def completed(stats: DomainStats, definition: str, size_at: Callable[[str], int | None]) -> DomainStats:
    """Returns `stats` with the values that QEMU reports. `size_at` returns the bytes of a volume by path."""
    tree = parse(definition, "a guest")
    full: dict[str, int | str | bool] = {
        **stats,
        "vcpu.current": int(attribute(tree, "vcpu", "current") or text_at(tree, "vcpu", "0")),
        "balloon.maximum": (bytes_at(tree, "memory", unit="KiB") or 0) // 1024,
    }
    disks = tree.findall("devices/disk")
    full["block.count"] = len(disks)
    for index, disk in enumerate(disks):
        full[f"block.{index}.name"] = attribute(disk, "target", "dev")
        path = attribute(disk, "source", "file") or attribute(disk, "source", "dev")
        size = size_at(path)
        if path:
            full[f"block.{index}.path"] = path
        if size is not None:
            full[f"block.{index}.capacity"] = size
    return full


def completed_usage(stats: DomainStats, domain: Any) -> DomainStats:
    """Returns `stats` of an active domain with its CPU time, which is the time of day, and its memory."""
    _, maximum_kib, current_kib, _, cpu_ns = domain.info()
    return {
        **stats,
        "cpu.time": cpu_ns,
        "balloon.current": current_kib,
        "balloon.rss": min(maximum_kib, current_kib),
        "net.count": 0,
    }

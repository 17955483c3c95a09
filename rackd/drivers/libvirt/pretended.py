"""libvirt's test driver tells little in its statistics; the rest is read from its definitions, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rackd.drivers.libvirt.trees import attribute, bytes_at, parse, text_at

Stats = Mapping[str, int | str | bool]


def completed(stats: Stats, definition: str, size_at: Callable[[str], int | None]) -> Stats:
    """`stats` with what QEMU's statistics would hold too. `size_at` tells the bytes of a volume by its path."""
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

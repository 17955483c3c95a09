"""Turns the metrics of a server of LXD or Incus into counters of usage.

LXD answers in the text format of OpenMetrics. Of a VM it reports what its agent in the guest measures, or without an
agent what QEMU does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from rackd.drivers.usage_counters import GuestCounters, HostCounters

_CPU, _CORES = "cpu_seconds_total", "cpu_effective_total"
_TOTAL, _AVAILABLE = "memory_MemTotal_bytes", "memory_MemAvailable_bytes"
_READ, _WRITTEN = "disk_read_bytes_total", "disk_written_bytes_total"
_RECEIVED, _SENT = "network_receive_bytes_total", "network_transmit_bytes_total"
_SIZE, _FREE, _USABLE = "filesystem_size_bytes", "filesystem_free_bytes", "filesystem_avail_bytes"
_SPACE = (_SIZE, _FREE, _USABLE)
_NAMES = "|".join((_CPU, _CORES, _TOTAL, _AVAILABLE, _READ, _WRITTEN, _RECEIVED, _SENT, *_SPACE))
_LINE = re.compile(rf"^(?:lxd|incus)_({_NAMES})\{{(.{{0,1000}})\}} ([0-9.eE+-]{{1,40}})$", re.MULTILINE)
_LABEL = re.compile(r'([a-z_]{1,40})="([^"]{0,200})"')
_NOT_BUSY = {"idle", "iowait", "steal"}
# Devices whose bytes another device of the guest also counts: partitions, and disks made of disks.
_PART = re.compile(r"(?:(?:sd|vd|hd|xvd)[a-z]+|(?:nvme\d+n|mmcblk)\d+p)\d+|(?:loop|ram|zram|dm-|md|sr|fd)\d+")
_UPPER_NIC = re.compile(r"lo|(?:veth|docker|br|virbr|bond|team|tap|tun|wg|vlan|lxc|lxdbr|cni|flannel|cali).*|.+\..+")

_ON_DISK = {"ext4", "xfs", "btrfs", "zfs"}  # others are in memory, read-only, or of another computer

Key = tuple[str, str]  # project and name


def counters_of(text: str, *, calls: int) -> HostCounters:
    """Returns the counters in the metrics of a server. LXD has none of the server itself."""
    found: dict[Key, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    space: dict[Key, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for name, labels_text, number in _LINE.findall(text):
        labels = dict(_LABEL.findall(labels_text))
        if "name" not in labels:
            continue
        key = labels.get("project", "default"), labels["name"]
        if name in _SPACE:
            space[key][labels.get("device", "")] |= {name: float(number)} if labels.get("fstype") in _ON_DISK else {}
        elif _counts(name, labels):
            found[key][name] += float(number)
    guests = (_guest(key, values, space.get(key)) for key, values in sorted(found.items()))
    return HostCounters(guests=tuple(guests), calls=calls)


def _counts(name: str, labels: Mapping[str, str]) -> bool:
    device = labels.get("device", "")
    if name == _CPU:
        return labels.get("mode") not in _NOT_BUSY
    if name in {_READ, _WRITTEN}:
        return _PART.fullmatch(device) is None
    if name in {_RECEIVED, _SENT}:
        return _UPPER_NIC.fullmatch(device) is None
    return True


def _guest(key: Key, values: Mapping[str, float], space: Mapping[str, Mapping[str, float]] | None) -> GuestCounters:
    """`space` has the file systems, by device. Only the agent in the guest knows them: it reports the memory, too."""

    def number(name: str, scale: float = 1.0) -> int | None:
        return round(values[name] * scale) if name in values else None

    total, available = number(_TOTAL), number(_AVAILABLE)
    return GuestCounters(
        project=key[0],
        name=key[1],
        cores=number(_CORES) or None,
        cpu_ns=number(_CPU, 1e9),
        memory_bytes=total,
        memory_used_bytes=None if total is None or available is None else max(0, total - available),
        memory_is_reported=space is not None,
        space_share=max(
            (share for one in (space or {}).values() if (share := _used_share(one)) is not None), default=None
        ),
        read_bytes=number(_READ),
        written_bytes=number(_WRITTEN),
        received_bytes=number(_RECEIVED),
        sent_bytes=number(_SENT),
    )


def _used_share(found: Mapping[str, float]) -> float | None:
    """Returns the used share as df(1) does: without the space that is kept for the system."""
    if not all(name in found for name in _SPACE):
        return None
    used = max(0.0, found[_SIZE] - found[_FREE])
    whole = used + found[_USABLE]
    return used / whole if whole > 0 else None

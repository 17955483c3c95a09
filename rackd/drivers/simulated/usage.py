"""Makes up the usage of simulated guests.

Each guest has a load of its own, which rises and falls every ten minutes. A guest with `busy` in its name uses nearly
all of its cores, one with `idle` next to nothing. One with `short` has little memory left, one with `full` little
space.
"""

from __future__ import annotations

import math
import sqlite3
import zlib

from attrs import frozen

from common.addresses.simulated import SimulatedAddress
from common.values import PowerState
from rackd.drivers.usage_counters import GuestCounters, HostCounters

_RUNNING = "select guest_id, name, cores, memory_mib from guest where power = ? order by name"
_MIB = 1024**2
_NS = 1_000_000_000
_PERIOD_S = 600.0
_SINCE_S = 1_700_000_000  # smaller numbers keep the nanoseconds of a float
_HOST_MEMORY_BYTES = 512 * _MIB  # of the host's own system
_READ_BPS, _WRITTEN_BPS, _RECEIVED_BPS, _SENT_BPS = 4e6, 2e6, 1e6, 3e6  # at full load


@frozen
class _Load:
    """The share of its cores that a guest uses, `mean ± swing`."""

    mean: float
    swing: float
    phase: float

    def at(self, now_s: float) -> float:
        return self.mean + self.swing * math.cos(self._angle(now_s))

    def until(self, now_s: float) -> float:
        """The seconds of full load up to now: the integral of `at`, which never falls."""
        return self.mean * (now_s - _SINCE_S) + self.swing * _PERIOD_S / math.tau * math.sin(self._angle(now_s))

    def _angle(self, now_s: float) -> float:
        return math.tau * ((now_s - _SINCE_S) / _PERIOD_S + self.phase)


def counters(db: sqlite3.Connection, address: SimulatedAddress, now_s: float) -> HostCounters:
    """`now_s` is the time since 1970. The host has no CPU time of its own: a sum would jump when a guest starts."""
    found = [_guest(row, now_s) for row in db.execute(_RUNNING, (PowerState.ON.value,))]
    total = address.memory_mib * _MIB
    return HostCounters(
        guests=tuple(found),
        cores=address.cores,
        memory_bytes=total,
        memory_used_bytes=min(total, _HOST_MEMORY_BYTES + sum(one.memory_used_bytes or 0 for one in found)),
        calls=1,
    )


def _guest(row: sqlite3.Row, now_s: float) -> GuestCounters:
    load = _load_of(str(row["name"]), str(row["guest_id"]))
    seconds = load.until(now_s)
    memory = row["memory_mib"] * _MIB
    return GuestCounters(
        name=row["name"],
        cores=row["cores"],
        cpu_ns=int(seconds * row["cores"] * _NS),
        memory_bytes=memory,
        memory_used_bytes=int(memory * (0.95 if "short" in row["name"] else 0.2 + 0.6 * load.at(now_s))),
        memory_is_reported=True,
        space_share=0.97 if "full" in row["name"] else 0.4,
        read_bytes=int(seconds * _READ_BPS),
        written_bytes=int(seconds * _WRITTEN_BPS),
        received_bytes=int(seconds * _RECEIVED_BPS),
        sent_bytes=int(seconds * _SENT_BPS),
    )


def _load_of(name: str, guest_id: str) -> _Load:
    seed = zlib.crc32(guest_id.encode())
    phase = (seed >> 16) / 0x10000
    if "busy" in name:
        return _Load(0.97, 0.02, phase)
    if "idle" in name:
        return _Load(0.001, 0.0, phase)
    mean = 0.03 + 0.5 * (seed & 0xFFFF) / 0x10000
    return _Load(mean, 0.7 * mean, phase)

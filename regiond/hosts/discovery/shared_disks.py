"""Decides which guest counts a disk that several have, such as the disk of a cluster file system. Pure.

The space of a volume is claimed once: by the guest that counted it before, else by a machine, else by the first foreign
guest. The disks of the others are marked in their rows, so that everything that adds up a guest's disks skips them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve

from regiond.hosts.discovery.allocations import GuestKey
from regiond.hosts.guest_record import SHARED, GuestRecord

_Volume = tuple[str, str, str]  # project, pool, name: projects can have volumes of one name


def with_shared_disks(records: Iterable[GuestRecord], known: Mapping[GuestKey, GuestRecord]) -> tuple[GuestRecord, ...]:
    """Returns the records, with the disks marked that another guest counts. `known` are the records of before."""
    records = tuple(records)
    users: defaultdict[_Volume, list[GuestRecord]] = defaultdict(list)
    for record in records:
        for volume in {volume for _, volume in _volumes(record)}:
            users[volume].append(record)
    shared = {volume: _holder(volume, found, known) for volume, found in users.items() if len(found) > 1}
    return tuple(_marked(record, shared) for record in records)


def _holder(volume: _Volume, users: Iterable[GuestRecord], known: Mapping[GuestKey, GuestRecord]) -> GuestKey:
    def rank(record: GuestRecord) -> tuple[bool, bool, int, GuestKey]:
        before = known.get(record.key)
        counted = before is not None and any(
            found == volume and not disk.get(SHARED) for disk, found in _volumes(before)
        )
        return not counted, record.machine_id is None, record.machine_id or 0, record.key

    return min(users, key=rank).key


def _marked(record: GuestRecord, shared: Mapping[_Volume, GuestKey]) -> GuestRecord:
    """Also marks the second of two disks of one guest that are the same volume."""
    counted: set[_Volume] = set()
    disks = []
    for disk in record.disks:
        plain = {key: value for key, value in disk.items() if key != SHARED}
        volume = _volume(record, disk)
        if volume is not None and (volume in counted or shared.get(volume, record.key) != record.key):
            plain[SHARED] = True
        if volume is not None:
            counted.add(volume)
        disks.append(plain)
    return evolve(record, disks=tuple(disks))


def _volumes(record: GuestRecord) -> Iterator[tuple[Mapping[str, Any], _Volume]]:
    for disk in record.disks:
        volume = _volume(record, disk)
        if volume is not None:
            yield disk, volume


def _volume(record: GuestRecord, disk: Mapping[str, Any]) -> _Volume | None:
    """Returns None for a disk that is in no pool, or no volume of its pool: nothing shows whose it is."""
    if disk["pool_id"] is None or disk["volume"] is None:
        return None
    return record.project, disk["pool_id"], disk["volume"]

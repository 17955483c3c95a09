"""The discovery diff: machines claim the space that the disks of their guests take."""

from __future__ import annotations

from attrs import evolve

from common.hosts.discovery import Problem
from common.values import Guest, GuestDisk
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.model import ChangeKind
from tests.unit.support.discovery_samples import (
    GIB,
    changes_of,
    discovery,
    guest,
    machine,
    pool,
    record,
    snapshot,
    written,
)

MANAGED = guest("1", machine=1)
KNOWN = snapshot(machine(1), guests=[record(MANAGED, 1)])


def with_disks(*disks: GuestDisk) -> Guest:
    return evolve(MANAGED, disks=disks)


def disk(size_bytes: int, *, pool_id: str | None = "default", missing: bool = False) -> GuestDisk:
    return GuestDisk(device="vda", size_bytes=size_bytes, pool_id=pool_id, volume="root", missing=missing)


def test_a_grown_disk_changes_the_claims_of_its_machine_once() -> None:
    found = discovery(with_disks(disk(10 * GIB)))
    changes = compare(found, KNOWN)
    assert [(one.machine_id, dict(one.now), dict(one.before)) for one in changes.storage] == [
        (1, {"default": 10 * GIB}, {"default": GIB})
    ]
    assert changes_of(changes) == [(ChangeKind.DISKS_CHANGED, 1)]
    assert changes.machines[0].detail == "10.7 GB in default; the ledger had 1.1 GB in default"
    assert compare(found, written(KNOWN, changes)).none


def test_a_rounded_disk_is_claimed_without_an_event() -> None:
    changes = compare(discovery(with_disks(disk(GIB + 4 * 1024**2))), KNOWN)
    assert [dict(one.now) for one in changes.storage] == [{"default": GIB + 4 * 1024**2}]
    assert changes_of(changes) == []


def test_a_disk_without_a_volume_is_reported_once() -> None:
    found = discovery(with_disks(disk(0, missing=True)))
    changes = compare(found, KNOWN)
    assert changes_of(changes) == [(ChangeKind.DISKS_CHANGED, 1), (ChangeKind.VOLUME_MISSING, 1)]
    assert changes.machines[1].detail == "root"
    assert compare(found, written(KNOWN, changes)).none


def test_unread_disks_do_not_change_the_claims() -> None:
    problem = Problem(subject=MANAGED.name, message="Its disk vda cannot be read.")
    for before in (KNOWN, snapshot(machine(1))):
        assert compare(evolve(discovery(with_disks()), problems=(problem,)), before).storage == ()


def test_claims_on_a_pool_that_the_run_does_not_list_stay() -> None:
    without_pool = compare(discovery(with_disks(disk(GIB, pool_id=None)), storage_pools=(pool("other"),)), KNOWN)
    assert without_pool.storage == ()


def test_claims_of_busy_or_moved_machines_do_not_change() -> None:
    found = discovery(with_disks(disk(10 * GIB)))
    for one in (machine(1, settled=False), machine(1, on_this_server=False)):
        assert compare(found, snapshot(one, guests=[record(MANAGED, 1)])).storage == ()

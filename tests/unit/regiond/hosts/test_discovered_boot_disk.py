"""The discovery diff: the disk from which a machine boots is the one that its host reports."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.values import Guest, GuestDisk
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.model import ChangeKind
from regiond.hosts.discovery.snapshot import MachineSnapshot
from tests.unit.support.discovery_samples import GIB, changes_of, discovery, guest, machine, record, snapshot, written

PLACES = (("default", "root"), ("default", "data"), ("default", "vdc"))


def reported(boot_device: str | None) -> Guest:
    """A guest with three disks; that of the device vdc has no volume of its own."""
    disks = tuple(
        GuestDisk(device=device, size_bytes=GIB, pool_id="default", volume=volume)
        for device, volume in (("vda", "root"), ("vdb", "data"), ("vdc", None))
    )
    return evolve(guest("1", machine=1), disks=disks, boot_device=boot_device)


def changed(now: Guest, known: MachineSnapshot) -> list[tuple[ChangeKind, int]]:
    before = snapshot(known, guests=[record(reported("vda"), 1)], storage={1: {"default": 3 * GIB}})
    changes = compare(discovery(now), before)
    assert changes_of(compare(discovery(now), written(before, changes))) == [], "it is reported once"
    return changes_of(changes)


@pytest.mark.parametrize("device", ["vdb", "vdc"])
def test_another_boot_disk_is_a_change_once(device: str) -> None:
    assert changed(reported(device), machine(1, disks=PLACES)) == [(ChangeKind.BOOT_DISK, 1)]


@pytest.mark.parametrize("device", ["vda", None, "vdz"])
def test_the_known_an_unknown_or_no_disk_is_no_change(device: str | None) -> None:
    assert changed(reported(device), machine(1, disks=PLACES)) == []


def test_a_disk_that_the_ledger_lacks_cannot_be_the_boot_disk() -> None:
    assert changed(reported("vdb"), machine(1, disks=PLACES[:1])) == []


def test_a_choice_that_was_just_made_is_newer_than_the_run() -> None:
    assert changed(reported("vdb"), machine(1, disks=PLACES, settled=False)) == []

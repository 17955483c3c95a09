"""Disks of the ledger and of a guest: how they are paired, and which differences are discrepancies."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from common.disks.volume_names import volume_name
from common.values import OwnershipMarker
from regiond.machines.values.disks import DiskOrigin
from regiond.machines.values.listed_disks import ActualDisk, LedgerDisk, ListedDisks, compared
from regiond.reconciler.disks.detection import MachineDisks, detect
from regiond.reconciler.model import DiscrepancyKind, RepairPolicy

GB = 10**9
OURS = UUID(int=1)
ROOT, DATA = (volume_name(OwnershipMarker(installation_id=OURS, machine_id=UUID(int=2)), n) for n in (0, 1))


def ledger(index: int, **changes: Any) -> LedgerDisk:
    fields: dict[str, Any] = {"volume": f"v{index}", "pool_id": 1, "pool": "default", "size_bytes": 5 * GB}
    return LedgerDisk(**{"id": 10 + index, "index": index, "serial": f"s{index}", **fields, **changes})


def actual(index: int, **changes: Any) -> ActualDisk:
    fields: dict[str, Any] = {"volume": f"v{index}", "pool_id": 1, "pool": "default", "size_bytes": 5 * GB}
    return ActualDisk(**{"device": f"d{index}", "serial": f"s{index}", **fields, **changes})


def machine(
    *disks: LedgerDisk | ActualDisk, is_on: bool = False, installation_id: UUID = OURS
) -> MachineDisks:  # fmt: skip
    return MachineDisks(
        id=3, system_id="abc", hostname="vm", host_id=1, host_name="hv", is_on=is_on,
        installation_id=installation_id,
        disks=ListedDisks(
            id=3,
            ledger=tuple(one for one in disks if isinstance(one, LedgerDisk)),
            actual=tuple(one for one in disks if isinstance(one, ActualDisk)),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("disks", "found"),
    [
        ((ledger(0), actual(0)), []),
        ((ledger(0), actual(0, size_bytes=5 * GB + 4 * 1024**2)), []),  # LVM takes whole extents
        ((ledger(0), actual(0, size_bytes=0)), []),  # unread
        ((ledger(0), actual(0, size_bytes=10 * GB)), ["disk 0 has 10.0 GB"]),
        ((ledger(0), actual(0, size_bytes=4 * GB)), ["disk 0 has 4.0 GB"]),
        ((ledger(0), actual(0, volume="snap")), ["disk 0 is snap in default"]),
        ((ledger(0), actual(0, pool_id=2, pool="fast")), ["disk 0 is v0 in fast"]),
        ((ledger(0), actual(0), actual(1)), ["its guest also has d1 (v1, 5.0 GB in default)"]),
        ((ledger(0), ledger(1), actual(0)), ["its guest does not have disk 1 (v1, 5.0 GB in default)"]),
        (
            (ledger(0), actual(0, volume="x", serial="")),
            [
                "its guest does not have disk 0 (v0, 5.0 GB in default); its guest also has d0 (x, 5.0 GB in default)",
            ],
        ),
    ],
)
def test_differences_of_disks_are_named(disks: tuple[LedgerDisk | ActualDisk, ...], found: list[str]) -> None:
    assert [(one.kind, one.found) for one in detect(machine(*disks))] == [
        (DiscrepancyKind.DISKS_CHANGED, text) for text in found
    ]


@pytest.mark.parametrize(("is_on", "effect"), [(False, "it cannot start"), (True, "it runs, but cannot start again")])
def test_a_disk_without_a_volume_is_no_other_difference(*, is_on: bool, effect: str) -> None:
    (found,) = detect(machine(ledger(0), actual(0, missing=True, size_bytes=0), is_on=is_on))
    assert found.kind is DiscrepancyKind.VOLUME_MISSING
    assert found.found == f"no volume v0 in default (d0): {effect}"


def test_volumes_are_paired_before_serials() -> None:
    swapped = machine(ledger(0), ledger(1), actual(0, serial="s1"), actual(1, serial="s0"))
    assert [(disk.volume, one.volume) for disk, one in compared(swapped.disks).same] == [("v0", "v0"), ("v1", "v1")]


def test_a_discrepancy_of_both_kinds_is_two() -> None:
    found = detect(machine(ledger(0), actual(0, missing=True), actual(1)))
    assert [one.kind for one in found] == [DiscrepancyKind.VOLUME_MISSING, DiscrepancyKind.DISKS_CHANGED]


@pytest.mark.parametrize(
    ("disks", "policy"),
    [
        ((actual(0, volume=f"{ROOT}.snap1"), actual(1, volume=DATA)), RepairPolicy.NONE),
        ((actual(0, volume=DATA), actual(1, volume="x")), RepairPolicy.NONE),
        ((actual(1, volume=DATA),), RepairPolicy.NONE),
        ((), RepairPolicy.NONE),
        ((actual(0, volume=ROOT, pool_id=2, pool="fast"), actual(1, volume=DATA)), RepairPolicy.APPROVAL),
        ((actual(0, volume=ROOT), actual(1, volume=f"{DATA}.snap1")), RepairPolicy.APPROVAL),
    ],
)
def test_no_approval_makes_another_disk_the_root_disk(disks: tuple[ActualDisk, ...], policy: RepairPolicy) -> None:
    (found,) = detect(machine(ledger(0, volume=ROOT), ledger(1, volume=DATA), *disks))
    assert found.repair_policy is policy
    if policy is RepairPolicy.NONE:
        assert (found.data_at_risk, found.ours, ROOT in found.remedy) == (True, False, True)


def test_the_root_disk_of_an_adopted_machine_may_be_another() -> None:
    (found,) = detect(machine(ledger(0), actual(0, volume="snap")))
    assert (found.repair_policy, found.data_at_risk) == (RepairPolicy.APPROVAL, False)


def test_the_name_of_a_root_disk_of_another_installation_says_nothing() -> None:
    """Its machine was adopted."""
    disks = (ledger(0, volume=ROOT), actual(0, volume=f"{ROOT}.snap1"))
    (found,) = detect(machine(*disks, installation_id=UUID(int=9)))
    assert (found.repair_policy, found.data_at_risk) == (RepairPolicy.APPROVAL, False)


def poolless(index: int, **changes: Any) -> ActualDisk:
    return actual(index, **{"volume": f"d{index}", "pool_id": None, "pool": "", **changes})


@pytest.mark.parametrize(
    ("disks", "found"),
    [
        ((ledger(0, volume=ROOT), poolless(0)), []),
        ((ledger(0, volume=ROOT), poolless(0, size_bytes=9 * GB)), []),
        ((ledger(0, volume="d0", serial="lxd_root"), poolless(0, serial="")), []),  # an adopted root disk of LXD
        ((ledger(0, serial=""), poolless(0, serial="")), []),
        ((ledger(0), actual(0), poolless(1)), []),
        ((ledger(0), ledger(1), actual(0), poolless(1, serial="x")), ["its guest does not have disk 1 (v1, 5.0 GB in"]),
        ((ledger(0), ledger(1), actual(0), poolless(1, serial="")), ["its guest does not have disk 1 (v1, 5.0 GB in"]),
    ],
)
def test_a_disk_in_no_known_pool_is_not_detached(disks: tuple[LedgerDisk | ActualDisk, ...], found: list[str]) -> None:
    assert [one.found[: len(text)] for one, text in zip(detect(machine(*disks)), found, strict=True)] == found


FILE = {"device": "vdb", "volume": "vdb"}  # which is no volume of its storage pool


@pytest.mark.parametrize("serial", ["", "s1"])
def test_a_file_adopted_as_a_volume_is_foreign_again_without_approval(serial: str) -> None:
    disks = (ledger(0), ledger(1, origin=DiskOrigin.ADOPTED, serial=serial), actual(0))
    found = machine(*disks, actual(1, **FILE, serial=serial))
    (one,) = detect(found)
    assert one.repair_policy is RepairPolicy.AUTOMATIC
    pairs = compared(found.disks)
    assert [disk.volume for disk in pairs.detached] == ["v1"]
    assert [disk.volume for disk in pairs.attached] == ["vdb"]


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ({"origin": DiskOrigin.CREATED}, FILE),
        ({}, {**FILE, "pool_id": 2, "pool": "fast"}),
        ({}, {**FILE, "size_bytes": 4 * GB}),
        ({}, {"device": "vdb", "volume": "x"}),
    ],
)
def test_another_disk_instead_of_an_adopted_one_needs_approval(own: dict[str, Any], other: dict[str, Any]) -> None:
    adopted = ledger(1, serial="", **{"origin": DiskOrigin.ADOPTED, **own})
    (one,) = detect(machine(ledger(0), adopted, actual(0), actual(1, **other, serial="")))
    assert one.repair_policy is RepairPolicy.APPROVAL

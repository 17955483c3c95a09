"""Orphaned volumes: changes by a discovery run, and repair policies of the reconciler."""

from __future__ import annotations

from uuid import UUID

import pytest
from attrs import evolve

from common.disks.volume_names import marker_of_artifact, seed_name, serial_log_name, volume_name
from common.hosts.discovery import Discovery
from common.hosts.discovery import OrphanedVolume as DiscoveredVolume
from common.values import GuestDisk, OwnershipMarker
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.orphaned_volumes import NO_VOLUME_CHANGES as NONE
from regiond.hosts.discovery.orphaned_volumes import VolumeChanges, VolumeRecord, VolumeSnapshot, volume_changes
from regiond.reconciler.model import DiscrepancyKind, RepairPolicy
from regiond.reconciler.volumes.detection import OrphanedVolume, detect
from tests.unit.support.discovery_samples import INSTALLATION, OTHER_INSTALLATION, discovery, guest, snapshot

MARKER = OwnershipMarker(installation_id=INSTALLATION, machine_id=UUID(int=7))
FOUND = DiscoveredVolume(pool_id="default", name=volume_name(MARKER, 0), marker=MARKER, size_bytes=1000)
ROW = VolumeRecord(
    pool_id="default", project="", name=FOUND.name, marker_machine=MARKER.machine_id, size_bytes=FOUND.size_bytes
)
KNOWN = VolumeSnapshot(volumes={ROW.key: ROW})
VOLUME = OrphanedVolume(
    id=3, name=FOUND.name, project="", pool_key="default", pool="default", size_bytes=1000, marker=MARKER.machine_id,
    host_id=1, host_name="east",
)  # fmt: skip
DELETED = evolve(VOLUME, deleted_hostname="fox", created_here=True)
FAILED = evolve(DELETED, was_composed=False)
MACHINE = evolve(VOLUME, system_id="wdpx3n", hostname="fox", machine_host="west", machine_guest="fox")


def run(*volumes: DiscoveredVolume, listed: tuple[str, ...] = ("default",)) -> Discovery:
    return evolve(discovery(), orphaned_volumes=volumes, inspected_pools=listed)


def changes_of(found: Discovery, before: VolumeSnapshot) -> VolumeChanges:
    changes = compare(found, evolve(snapshot(), volumes=before))
    assert changes.none == (changes.volumes == NONE)
    return changes.volumes


def test_a_found_and_a_missing_volume_are_changes() -> None:
    assert changes_of(run(FOUND), VolumeSnapshot()) == VolumeChanges(written=(ROW,))
    assert changes_of(run(FOUND), KNOWN) == NONE
    assert changes_of(run(evolve(FOUND, size_bytes=5)), KNOWN).written == (evolve(ROW, size_bytes=5),)
    assert changes_of(run(), KNOWN) == VolumeChanges(deleted=(ROW.key,))


def test_volumes_of_an_unlisted_pool_do_not_change() -> None:
    assert changes_of(run(listed=()), KNOWN) == NONE
    assert changes_of(run(FOUND, listed=("other",)), VolumeSnapshot()) == NONE


def test_foreign_and_used_volumes_are_not_orphaned() -> None:
    foreign = evolve(FOUND, marker=evolve(MARKER, installation_id=OTHER_INSTALLATION))
    assert changes_of(run(foreign), VolumeSnapshot()) == NONE
    disk = GuestDisk(device="vda", size_bytes=1000, pool_id="default", volume=FOUND.name)
    attached = evolve(run(FOUND), guests=(evolve(guest("1"), disks=(disk,)),))
    assert volume_changes(attached, VolumeSnapshot(), INSTALLATION) == NONE


def test_volumes_of_an_unsettled_machine_do_not_change() -> None:
    busy = frozenset({MARKER.machine_id})
    assert changes_of(run(FOUND), VolumeSnapshot(unsettled=busy)) == NONE
    assert changes_of(run(evolve(FOUND, size_bytes=5)), evolve(KNOWN, unsettled=busy)) == NONE


def test_a_cloud_init_image_is_recognized_by_its_name() -> None:
    assert marker_of_artifact(seed_name(MARKER)) == marker_of_artifact(volume_name(MARKER, 12)) == MARKER
    assert marker_of_artifact(f"{volume_name(MARKER, 0)}.bak") is None


@pytest.mark.parametrize(
    ("volume", "policy", "reason"),
    [
        (FAILED, RepairPolicy.AUTOMATIC, "created for fox, whose compose did not succeed here"),
        (DELETED, RepairPolicy.APPROVAL, "created for fox, which was deleted, but it may have been restored since"),
        (evolve(FAILED, was_attached=True), RepairPolicy.APPROVAL, "another guest may have used it since"),
        (evolve(FAILED, created_here=False), RepairPolicy.APPROVAL, "was not created here for it"),
        (evolve(DELETED, created_here=False), RepairPolicy.APPROVAL, "was not created here for it"),
        (evolve(DELETED, was_attached=True), RepairPolicy.APPROVAL, "another guest may have used it since"),
        (evolve(VOLUME, detached_hostname="fox"), RepairPolicy.NONE, "detached when its host was removed"),
        (VOLUME, RepairPolicy.APPROVAL, f"machine {MARKER.machine_id}, which is not in the ledger"),
        (MACHINE, RepairPolicy.APPROVAL, "created for fox, which is on west"),
        (evolve(MACHINE, name=seed_name(MARKER)), RepairPolicy.NONE, "if both storage pools show the same folder"),
        (evolve(MACHINE, name=serial_log_name(MARKER)), RepairPolicy.NONE, "its guest uses it there"),
        (evolve(MACHINE, machine_here=True), RepairPolicy.NONE, "whose guest fox does not use it"),
        (evolve(VOLUME, guest_name="stray"), RepairPolicy.NONE, "the guest stray carries its marker"),
        (evolve(DELETED, guest_name="stray"), RepairPolicy.NONE, "stray"),
        *(
            (evolve(one, used_by="a disk of fox on west"), RepairPolicy.NONE, "but a disk of fox on west has its name")
            for one in (DELETED, VOLUME, MACHINE)
        ),
        (evolve(MACHINE, machine_here=True, used_by="a disk of fox on east"), RepairPolicy.NONE, "does not use it"),
    ],
)
def test_the_repair_policy_of_a_volume_depends_on_the_ledger(
    volume: OrphanedVolume, policy: RepairPolicy, reason: str
) -> None:
    reported = detect(volume)
    assert reported is not None
    assert (reported.kind, reported.key) == (DiscrepancyKind.ORPHANED_VOLUME, "volume 3")
    assert reported.repair_policy is policy
    assert reported.ours is (policy is RepairPolicy.AUTOMATIC)
    assert reported.data_at_risk is not reported.ours
    assert reason in reported.found
    assert detect(evolve(volume, busy=True)) is None


def test_a_volume_that_its_guest_no_longer_uses_can_be_below_a_snapshot() -> None:
    reported = detect(evolve(MACHINE, machine_here=True))
    assert reported is not None
    assert "if no disk or snapshot of it is based on the volume" in reported.remedy


@pytest.mark.parametrize("volume", [DELETED, VOLUME], ids=["of-deleted-machine", "unknown"])
def test_a_volume_on_a_server_without_hosts_has_no_repair(volume: OrphanedVolume) -> None:
    reported = detect(evolve(volume, host_id=None, host_name=None))
    assert reported is not None
    assert reported.repair_policy is RepairPolicy.NONE


def test_a_volume_of_a_missing_machine_is_not_reported_separately() -> None:
    assert detect(evolve(MACHINE, machine_here=True, machine_guest=None)) is None

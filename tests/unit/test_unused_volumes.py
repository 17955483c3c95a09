"""Volumes of ours that no guest has: what of a discovery is news, and what is said of each of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from common.discovery import Discovery
from common.discovery import UnusedVolume as Found
from common.marks import mark_of_made, seed_name, volume_name
from common.values import GuestDisk, Mark
from regiond.hosts.intake import compare
from regiond.hosts.unused import NOTHING_NEW, KnownVolumes, VolumeChanges, VolumeRow, news_of_volumes
from regiond.reconciler.model import By, Kind
from regiond.reconciler.volumes import UnusedVolume, judge
from tests.unit.intake_findings import OTHERS, OURS, discovery, guest, known

MARK = Mark(installation_id=OURS, machine_id=UUID(int=7))
FOUND = Found(pool_id="default", name=volume_name(MARK, 0), mark=MARK, size_bytes=1000)
ROW = VolumeRow(
    pool_id="default", project="", name=FOUND.name, marked_machine=MARK.machine_id, size_bytes=FOUND.size_bytes
)
KNOWN = KnownVolumes(volumes={ROW.key: ROW})
VOLUME = UnusedVolume(
    id=3, name=FOUND.name, project="", pool_key="default", pool="default", size_bytes=1000, mark=MARK.machine_id,
    host_id=1, host_name="east",
)  # fmt: skip
MACHINE = evolve(VOLUME, system_id="wdpx3n", hostname="fox", machine_host="west", machine_guest="fox")


def look(*volumes: Found, told: tuple[str, ...] = ("default",)) -> Discovery:
    return evolve(discovery(), unused_volumes=volumes, volumes_told=told)


def news(found: Discovery, before: KnownVolumes) -> VolumeChanges:
    changes = compare(found, evolve(known(), unused=before))
    assert changes.none == (changes.volumes == NOTHING_NEW)
    return changes.volumes


def test_a_volume_that_is_found_is_news_once_and_once_more_when_it_is_gone() -> None:
    assert news(look(FOUND), KnownVolumes()) == VolumeChanges(written=(ROW,))
    assert news(look(FOUND), KNOWN) == NOTHING_NEW
    assert news(look(evolve(FOUND, size_bytes=5)), KNOWN).written == (evolve(ROW, size_bytes=5),)
    assert news(look(), KNOWN) == VolumeChanges(gone=(ROW.key,))


def test_a_look_that_tells_nothing_of_a_storage_pool_changes_nothing_of_its_volumes() -> None:
    assert news(look(told=()), KNOWN) == NOTHING_NEW
    assert news(look(FOUND, told=("other",)), KnownVolumes()) == NOTHING_NEW


def test_volumes_of_others_and_those_that_a_guest_has_after_all_are_none_of_ours() -> None:
    theirs = evolve(FOUND, mark=evolve(MARK, installation_id=OTHERS))
    assert news(look(theirs), KnownVolumes()) == NOTHING_NEW
    disk = GuestDisk(device="vda", size_bytes=1000, pool_id="default", volume=FOUND.name)
    had = evolve(look(FOUND), guests=(evolve(guest("1"), disks=(disk,)),))
    assert news_of_volumes(had, KnownVolumes(), OURS) == NOTHING_NEW


def test_volumes_of_a_machine_that_something_acts_on_stay_as_they_are_known() -> None:
    busy = frozenset({MARK.machine_id})
    assert news(look(FOUND), KnownVolumes(left_alone=busy)) == NOTHING_NEW
    assert news(look(evolve(FOUND, size_bytes=5)), evolve(KNOWN, left_alone=busy)) == NOTHING_NEW


def test_the_image_for_cloud_init_is_known_by_its_name_too() -> None:
    assert mark_of_made(seed_name(MARK)) == mark_of_made(volume_name(MARK, 12)) == MARK
    assert mark_of_made(f"{volume_name(MARK, 0)}.bak") is None


@pytest.mark.parametrize(
    ("volume", "by", "ours", "says"),
    [
        (evolve(VOLUME, given_up="fox", made_here=True), By.ITSELF, True, "made for fox, which was given up"),
        (evolve(VOLUME, given_up="fox"), By.APPROVAL, False, "nothing says that it was made here"),
        (
            evolve(VOLUME, given_up="fox", made_here=True, was_elsewhere=True),
            By.APPROVAL,
            False,
            "something else may have had it since",
        ),
        (evolve(VOLUME, forgotten="fox"), By.APPROVAL, False, "forgotten with its host"),
        (VOLUME, By.APPROVAL, False, f"machine {MARK.machine_id}, which the ledger does not know (any more)"),
        (MACHINE, By.APPROVAL, False, "made for fox, which is on west"),
        (evolve(MACHINE, machine_here=True), By.NOBODY, False, "whose guest fox does not have it"),
        (evolve(VOLUME, guest_name="stray"), By.NOBODY, False, "the guest stray carries its mark"),
        (evolve(VOLUME, guest_name="stray", given_up="fox", made_here=True), By.NOBODY, False, "stray"),
    ],
)
def test_who_may_remove_a_volume_depends_on_what_the_ledger_knows(
    volume: UnusedVolume, by: By, ours: bool, says: str
) -> None:
    told = judge(volume)
    assert told is not None
    assert (told.kind, told.key, told.mended_by) == (Kind.UNUSED_VOLUME, "volume 3", by)
    assert (told.ours, told.data_at_risk) == (ours, not ours)
    assert says in told.found
    assert judge(evolve(volume, busy=True)) is None


@pytest.mark.parametrize("changes", [{"given_up": "fox", "made_here": True}, {}])
def test_a_volume_on_a_server_that_no_host_leads_to_is_removed_by_nobody(changes: dict[str, Any]) -> None:
    told = judge(evolve(VOLUME, host_id=None, host_name=None, **changes))
    assert told is not None
    assert told.mended_by is By.NOBODY


def test_volumes_of_a_missing_machine_are_told_with_the_machine() -> None:
    assert judge(evolve(MACHINE, machine_here=True, machine_guest=None)) is None

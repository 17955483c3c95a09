"""The pages of disks: what they offer for which disk, and the sizes that their forms show and send."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from common.disks.volume_names import volume_name
from common.values import OwnershipMarker
from regiond.requests.caller import Caller
from regiond.ui.lists.kept_disks import kept_choices
from regiond.ui.machines.details.disk_choices import DiskChoices, disk_choices
from regiond.ui.machines.disks.disk_form import size_in_gb, size_to_send
from tests.unit.support.api_samples import ADMIN, USER
from tests.unit.support.machine_samples import KEPT_DISK, MACHINE

VIEWER = evolve(USER, grants={})
HERE, ELSEWHERE = UUID(int=1), UUID(int=2)
(DISK,) = MACHINE.disks


def volume_of(installation: UUID, index: int) -> str:
    return volume_name(OwnershipMarker(installation_id=installation, machine_id=MACHINE.uuid), index)


OURS = [evolve(DISK, id=30 + n, index=n, volume=volume_of(HERE, n)) for n in range(2)]
THEIRS = [evolve(DISK, id=38, index=8, volume=volume_of(ELSEWHERE, 8)), evolve(DISK, id=39, index=9, volume="by-hand")]
FULL = evolve(MACHINE, disks=(*OURS, *THEIRS))


def test_only_disks_of_innkeeper_are_changed_and_the_first_one_stays() -> None:
    found = disk_choices(FULL, HERE, may_change=True)
    assert (found.may_add, found.grows, found.removes) == (True, frozenset({30, 31}), frozenset({31}))


@pytest.mark.parametrize("changes", [{"host_id": None}, {"guest_id": None}])
def test_a_vm_that_no_host_lists_is_offered_no_change(changes: dict[str, Any]) -> None:
    assert disk_choices(evolve(FULL, **changes), HERE, may_change=True) == DiskChoices()
    assert disk_choices(FULL, HERE, may_change=False) == DiskChoices()


@pytest.mark.parametrize(
    ("caller", "account_id", "owner", "obstacle"),
    [
        (ADMIN, 99, "eve", ""),
        (USER, USER.account_id, USER.username, ""),
        (USER, 99, "eve", "You do not own the disk data of old-1. It belongs to eve."),
        (VIEWER, VIEWER.account_id, VIEWER.username, "This needs the role operator in the resource pool"),
        (ADMIN, None, None, ""),
        (
            USER,
            None,
            None,
            "You do not own the disk data of old-1. It belongs to nobody: only administrators may use it.",
        ),
    ],
)
def test_a_kept_disk_is_for_its_account_and_administrators(
    caller: Caller, account_id: int | None, owner: str | None, obstacle: str
) -> None:
    (found,) = kept_choices(caller, [evolve(KEPT_DISK, account_id=account_id, owner=owner)])
    assert found.title == "data of old-1"
    assert found.obstacle.startswith(obstacle)
    assert bool(found.obstacle) == bool(obstacle)


@pytest.mark.parametrize(
    ("size_bytes", "shown"), [(20 * 10**9, "20"), (500 * 10**6, "0.5"), (10_737_418_240, "10.737"), (10**12, "1000")]
)
def test_a_size_is_shown_in_gb_and_the_present_one_sent_exactly(size_bytes: int, shown: str) -> None:
    disk = evolve(DISK, size_bytes=size_bytes, pending_size_bytes=10**13)
    assert size_in_gb(size_bytes) == shown
    assert round(float(size_to_send(disk, shown)) * 10**9) == size_bytes
    assert size_to_send(disk, "30") == "30"

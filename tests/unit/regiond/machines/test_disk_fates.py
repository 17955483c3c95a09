"""What becomes of the disks of a machine when its guest is deleted, for every kind of guest and host."""

from __future__ import annotations

from uuid import UUID

import pytest

from common.disks.volume_names import short_volume_name, volume_name
from common.values import DriverType, OwnershipMarker
from regiond.machines.remains.disk_fates import DiskFate, disk_fate
from regiond.machines.values.disks import DiskOrigin, DiskView

MARKER = OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2))
OF_OTHER_MACHINE = volume_name(OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=3)), 1)
OF_OTHER_INSTALLATION = volume_name(OwnershipMarker(installation_id=UUID(int=9), machine_id=UUID(int=2)), 0)
LXD, LIBVIRT, SIMULATED = DriverType.LXD, DriverType.LIBVIRT, DriverType.SIMULATED
DELETED, KEPT, LEFT = DiskFate.DELETED, DiskFate.KEPT, DiskFate.LEFT


def disk(
    volume: str, index: int = 0, origin: str = "created", *, missing: bool = False, is_volume: bool = True
) -> DiskView:
    return DiskView(
        id=1, index=index, volume=volume, storage_pool_name="default", storage_pool_key="default", size_bytes=1,
        serial="", tags=(), origin=DiskOrigin(origin), missing=missing, is_volume=is_volume,
    )  # fmt: skip


@pytest.mark.parametrize("driver", [LXD, LIBVIRT, SIMULATED])
@pytest.mark.parametrize(
    ("found", "fate"),
    [
        (disk(volume_name(MARKER, 0)), DELETED),
        (disk(short_volume_name(MARKER, 1), 1), DELETED),
        (disk(OF_OTHER_MACHINE, 1), KEPT),
        (disk(OF_OTHER_INSTALLATION), KEPT),
        (disk("data", 1, "adopted"), KEPT),
        (disk("data", 1, "foreign"), LEFT),
        (disk("data", 1, "adopted", missing=True), LEFT),
    ],
)
def test_a_disk_goes_by_the_name_of_its_volume(driver: DriverType, found: DiskView, fate: DiskFate) -> None:
    assert disk_fate(found, driver=driver.value, marker=MARKER) is fate


@pytest.mark.parametrize(
    ("driver", "found", "fate"),
    [
        (LIBVIRT, disk("web.qcow2"), KEPT),
        (SIMULATED, disk("foreign-0001"), KEPT),
        (LIBVIRT, disk("vda", is_volume=False), LEFT),
        (LXD, disk("root", is_volume=False), DELETED),
        (LXD, disk("root"), DELETED),
    ],
    ids=["libvirt", "simulated", "libvirt, in a folder of its pool", "LXD", "LXD, not listed"],
)
def test_only_lxd_deletes_the_first_disk_of_an_adopted_vm(driver: DriverType, found: DiskView, fate: DiskFate) -> None:
    assert disk_fate(found, driver=driver.value, marker=MARKER) is fate

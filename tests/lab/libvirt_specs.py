"""Guests for the driver's tests on the lab's libvirt."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from attrs import evolve

from common.guest_spec import DiskSpec, GuestSpec
from common.values import OwnershipMarker
from common.volume_names import volume_name
from tests.contract.libvirt_fixtures import QemuFixture
from tests.lab.conftest import INSTALLATION

DISK_BYTES = 4 * 1024 * 1024


def small_spec(qemu: QemuFixture, name: str, **fields: Any) -> GuestSpec:
    """One core and 128 MiB, with a disk in the fixture's storage pool."""
    marker = OwnershipMarker(installation_id=INSTALLATION, machine_id=uuid4())
    disk = DiskSpec(volume=volume_name(marker, 0), pool_id=qemu.pool_id, size_bytes=DISK_BYTES, serial="first")
    made = GuestSpec(
        name=f"{qemu.prefix}{name}", marker=marker, architecture="amd64", cores=1, memory_mib=128, disks=(disk,)
    )
    return evolve(made, **fields)

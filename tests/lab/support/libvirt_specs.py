"""Guests for the driver's tests on the lab's libvirt."""

from __future__ import annotations

from typing import Any

from common.guests.guest_spec import GuestSpec
from tests.contract.support.guest_samples import new_marker, small_guest
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.conftest import INSTALLATION

DISK_BYTES = 4 * 1024 * 1024


def small_spec(qemu: QemuFixture, name: str, **fields: Any) -> GuestSpec:
    """Has a disk in the fixture's storage pool."""
    marker = new_marker(INSTALLATION)
    return small_guest(f"{qemu.prefix}{name}", marker, (qemu.pool_id,), size_bytes=DISK_BYTES, **fields)

"""Sizes of disks on Incus, which makes them in whole blocks, and reads back only those that are such a size."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.guests.guest_spec import GuestSpec
from regiond.placement.storage_assignment import whole_size
from tests.contract.disks.test_disk_content_contract import content_in, parts
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture, spec_for

ASKED_BYTES = 10_000_000  # decimal, as MAAS's clients ask for

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"incus-double", "incus-6", "incus-7"}], indirect=True
)


def composed(host: CapableFixture, size_bytes: int) -> GuestSpec:
    spec = spec_for(host, "whole", disks=2)
    spec = evolve(spec, disks=tuple(evolve(disk, size_bytes=size_bytes) for disk in spec.disks))
    host.driver.compose(spec)
    return spec


def test_disks_of_the_size_that_the_region_asks_for_are_read_back(host: CapableFixture) -> None:
    size_bytes = whole_size(ASKED_BYTES, product="Incus")
    assert (size_bytes > ASKED_BYTES, size_bytes % 8192) == (True, 0)
    spec = composed(host, size_bytes)
    (guest,) = [one for one in host.driver.discover().guests if one.name == spec.name]
    assert [disk.size_bytes for disk in guest.disks] == [size_bytes] * 2
    for disk in spec.disks:
        wanted = host.write_content(spec, disk)
        assert content_in(parts(host, spec, disk), size_bytes) == wanted

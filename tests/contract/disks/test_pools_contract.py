"""Contract of storage pools that are not available: discovery reports them, and what it knows of their disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from common.errors import WrongState
from common.values import POOL_AVAILABLE, PowerAction, StoragePool
from tests.contract.support.driver_fixtures import FIXTURES, Capability, DriverFixture, requires, spec_for
from tests.contract.support.guest_samples import DISK_BYTES

if TYPE_CHECKING:
    from tests.contract.support.driver_fixtures import CapableFixture


# The others delete a guest in one call, which LXD and Incus refuse with an unavailable pool.
CHECKED_BY_US = [one for one in FIXTURES if one.id in ("simulated", "libvirt-test")]


def pool_of(host: DriverFixture) -> StoragePool:
    (found,) = [pool for pool in host.driver.discover().facts.storage_pools if pool.pool_id == host.pool_id]
    return found


@requires(Capability.POOL_LOSS)
def test_an_unavailable_pool_has_its_status_until_it_returns(host: CapableFixture) -> None:
    before = pool_of(host)
    assert before.status == POOL_AVAILABLE
    status = host.lose_pool()
    found = pool_of(host)
    assert (found.name, found.type, found.path, found.status) == (before.name, before.type, before.path, status)
    subjects = [problem.subject for problem in host.driver.discover().problems]
    assert subjects.count(f"storage pool {before.name}") == 1
    host.restore_pool()
    assert pool_of(host) == before


@requires(Capability.POOL_LOSS)
def test_disks_in_an_unavailable_pool_are_not_reported_as_missing(host: CapableFixture) -> None:
    spec = spec_for(host, "waits")
    host.driver.compose(spec)
    host.lose_pool()
    found = host.driver.discover()
    (guest,) = [guest for guest in found.guests if guest.name == spec.name]
    unread = {problem.subject for problem in found.problems}
    assert not any(disk.missing for disk in guest.disks)
    assert [(disk.pool_id, disk.size_bytes) for disk in guest.disks] == [(host.pool_id, DISK_BYTES)] or (
        guest.name in unread
    )
    host.restore_pool()


@pytest.mark.parametrize("host", CHECKED_BY_US, indirect=True)
def test_a_guest_with_a_disk_in_an_unavailable_pool_is_not_deleted_in_part(host: CapableFixture) -> None:
    spec = spec_for(host, "waits")
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0)
    running = host.driver.find(spec.ref)
    host.lose_pool()
    for _ in range(2):
        with pytest.raises(WrongState, match="Nothing was deleted"):
            host.driver.decompose(spec.ref, ((host.pool_id, spec.disks[0].volume),))
    host.restore_pool()
    assert host.driver.find(spec.ref) == running
    host.driver.decompose(spec.ref)
    assert host.driver.find(spec.ref) is None
    assert (host.pool_id, spec.disks[0].volume) not in host.volumes()

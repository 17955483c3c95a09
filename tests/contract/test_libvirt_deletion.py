"""What libvirt's driver deletes, keeps and refuses beyond the contract of all drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from attrs import evolve

from common.errors import WrongState
from common.guest_spec import GuestSpec
from common.values import PowerAction
from tests.contract.driver_fixtures import FIXTURES, CapableFixture, spec_for

if TYPE_CHECKING:
    from tests.contract.libvirt_fixtures import QemuFixture

QEMU = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id == "libvirt-qemu"], indirect=True)


def composed(host: CapableFixture, *, in_pools: tuple[str, ...] = ()) -> GuestSpec:
    pools = in_pools or (host.pool_id,)
    spec = spec_for(host, "goes", disks=len(pools))
    disks = [evolve(disk, pool_id=pool_id) for disk, pool_id in zip(spec.disks, pools, strict=True)]
    spec = evolve(spec, disks=tuple(disks))
    host.driver.compose(spec)
    return spec


@QEMU
def test_nothing_is_deleted_while_one_of_the_pools_is_inactive(host: CapableFixture) -> None:
    pool = cast("QemuFixture", host).defined_pool()
    spec = composed(host, in_pools=(host.pool_id, pool.UUIDString()))
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.0)
    running, volumes = host.driver.find(spec.ref), host.volumes()
    pool.destroy()
    with pytest.raises(
        WrongState, match=rf"Nothing was deleted.*{spec.disks[1].volume}.*virsh pool-start {pool.name()}"
    ):
        host.driver.decompose(spec.ref)
    assert (host.driver.find(spec.ref), host.volumes()) == (running, volumes)
    pool.create()
    host.driver.decompose(spec.ref)
    assert (host.driver.find(spec.ref), pool.listVolumes()) == (None, [])
    assert (host.pool_id, spec.disks[0].volume) not in host.volumes()

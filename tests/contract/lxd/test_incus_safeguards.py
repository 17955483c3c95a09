"""What only Incus would do to an instance beyond what was asked for, and what only its settings forbid."""

from __future__ import annotations

from typing import cast

import pytest

from common.errors import WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.values import PowerAction
from tests.contract.disks.test_disk_moves_contract import moved
from tests.contract.lxd.test_lxd_safeguards import composed, lxd_of
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture, DriverFixture
from tests.contract.support.guest_samples import volumes_of
from tests.contract.test_clone_contract import cloned

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"incus-double", "incus-7"}], indirect=True
)


def capable(host: DriverFixture) -> CapableFixture:
    return cast("CapableFixture", host)


@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_dependent_volume_stays(host: DriverFixture, ephemeral: bool) -> None:
    spec = composed(host, "dep")
    pool, volume = host.attach_new_volume(spec.ref)
    device = {"type": "disk", "pool": pool, "source": volume, "dependent": "Yes"}
    lxd_of(host).change(spec.name, devices={volume: device})
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    lxd_of(host).change(spec.name, ephemeral=ephemeral)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert not lxd_of(host).exists(spec.name)
    assert (pool, volume) in host.volumes()


def test_an_instance_protected_from_starts_stays_on(host: DriverFixture) -> None:
    spec = composed(host, "start")
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    lxd_of(host).change(spec.name, config={"security.protection.start": "YES"})
    with pytest.raises(WrongState, match=r"nothing was changed.*security\.protection\.start"):
        host.driver.power(spec.ref, PowerAction.CYCLE, grace_s=1)
    assert lxd_of(host).power_of(spec.name) == "Running"
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=1)
    with pytest.raises(WrongState, match=r"security\.protection\.start"):
        host.driver.power(spec.ref, PowerAction.ON, grace_s=1)


def with_dependent_disk(host: DriverFixture) -> tuple[GuestSpec, DiskSpec]:
    """Returns a machine that is off, and its further disk, whose volume Incus would delete with the instance."""
    spec = composed(host, "own", disks=2)
    disk = spec.disks[1]
    device = {"type": "disk", "pool": disk.pool_id, "source": disk.volume, "dependent": "true"}
    lxd_of(host).change(spec.name, devices={"disk1": device})
    return spec, disk


def test_a_dependent_disk_stays_when_the_root_disk_moves(host: DriverFixture) -> None:
    spec, disk = with_dependent_disk(host)
    written = capable(host).write_content(spec, disk)
    after = moved(host, spec, 0, capable(host).second_pool())
    assert (disk.pool_id, disk.volume) in host.volumes()
    assert capable(host).content_of(after, disk) == written
    host.driver.decompose(spec.ref, volumes_of(after))
    assert not lxd_of(host).exists(spec.name)


def test_a_dependent_disk_is_copied_with_its_machine(host: DriverFixture) -> None:
    spec, disk = with_dependent_disk(host)
    written = capable(host).write_content(spec, disk)
    copy, _ = cloned(capable(host), spec)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert capable(host).content_of(copy, copy.disks[1]) == written
    host.driver.decompose(copy.ref, volumes_of(copy))
    assert not {(one.pool_id, one.volume) for one in (disk, copy.disks[1])} & host.volumes()


def test_a_dependent_disk_keeps_its_content_beside_a_new_root_disk(host: DriverFixture) -> None:
    spec, disk = with_dependent_disk(host)
    written = capable(host).write_content(spec, disk)
    host.driver.undeploy(spec)
    assert capable(host).content_of(spec, disk) == written


def test_a_dependent_disk_that_is_detached_stays(host: DriverFixture) -> None:
    spec, disk = with_dependent_disk(host)
    host.driver.detach_disk(spec.ref, disk.pool_id, disk.volume)
    host.driver.decompose(spec.ref)
    assert (disk.pool_id, disk.volume) in host.volumes()

"""Moves of disks that LXD alone makes in its own way, and what a killed LXD leaves of them."""

from __future__ import annotations

from typing import cast

import pytest
from attrs import evolve

from common.errors import Unsupported, WrongState
from common.values import PowerAction
from tests.contract.disks.test_disk_changes_contract import composed, listed, sizes_in, sizes_of, switch
from tests.contract.disks.test_disk_moves_contract import copy, copy_of, moved, use
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture, DriverFixture
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture
from tests.lxd_http.messages import DEFAULT_PROJECT
from tests.lxd_http.operations import leave_running
from tests.lxd_http.state import Disk, Lxd

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"lxd-double", "lxd-6-double", "incus-double"}], indirect=True
)
MOVING = "lxd-move-of-41f68739-75c7-47c6-8e19-f19ddaa41a12"
CLOUD_INIT_ID = "volatile.cloud-init.instance-id"


def server(host: DriverFixture) -> Lxd:
    return cast("LxdDoubleFixture", host).administrator.lxd


def leave_copy(host: DriverFixture, name: str, pool_id: str) -> None:
    """The copy that LXD was making of the instance."""
    lxd = server(host)
    one = lxd.instance(name, DEFAULT_PROJECT)
    root = {**one.devices["root"], "pool": pool_id}
    made = evolve(one, name=MOVING, devices={**one.devices, "root": root}, root=Disk(size_bytes=one.root.size_bytes))
    lxd.instances[DEFAULT_PROJECT, MOVING] = made


def test_a_moved_guest_keeps_its_id_and_that_of_cloud_init(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host)
    before = server(host).instance(spec.name, DEFAULT_PROJECT).config
    moved(host, spec, 0, pool_id)
    assert server(host).instance(spec.name, DEFAULT_PROJECT).config == before


def test_an_incomplete_copy_of_the_instance_is_deleted(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host)
    content, before = host.write_content(spec, spec.disks[0]), listed(host, spec)
    leave_copy(host, spec.name, pool_id)
    assert listed(host, spec) == before
    after = moved(host, spec, 0, pool_id)
    assert host.content_of(after, after.disks[0]) == content
    assert (DEFAULT_PROJECT, MOVING) not in server(host).instances


def test_a_copy_of_another_instance_stays(host: CapableFixture) -> None:
    pool_id, spec, other = host.second_pool(), composed(host), composed(host, "other")
    leave_copy(host, other.name, pool_id)
    moved(host, spec, 0, pool_id)
    assert (DEFAULT_PROJECT, MOVING) in server(host).instances


def test_the_complete_copy_alone_gets_its_name_again(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host)
    content = host.write_content(spec, spec.disks[0])
    made = copy_of(host, spec, 0, pool_id)
    state = copy(host, spec, spec.disks[0], made)
    lxd = server(host)
    one = lxd.instances.pop((DEFAULT_PROJECT, spec.name))
    before = one.config[CLOUD_INIT_ID]
    one.config |= {CLOUD_INIT_ID: "new", "user.innkeeper.cloud-init-id": before}
    one.name, one.devices["root"] = MOVING, {**one.devices["root"], "pool": pool_id}
    lxd.instances[DEFAULT_PROJECT, MOVING] = one
    use(host, spec, spec.disks[0], made, state)
    after = evolve(spec, disks=(made,))
    assert (sizes_in(host, spec), host.content_of(after, made)) == (sizes_of(made), content)
    config = lxd.instance(spec.name, DEFAULT_PROJECT).config
    assert (config[CLOUD_INIT_ID], config.get("user.innkeeper.cloud-init-id")) == (before, None)


def test_a_copy_that_lxd_still_writes_is_waited_for(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    made, content = copy_of(host, spec, 1, pool_id), host.write_content(spec, spec.disks[1])
    copy(host, spec, spec.disks[1], made)
    leave_running(server(host), "Copying storage volume", {})
    use(host, spec, spec.disks[1], made, copy(host, spec, spec.disks[1], made))
    assert host.content_of(spec, made) == content
    assert all(one["status_code"] == 200 for one in server(host).operations.values())


def test_the_device_keeps_its_other_keys(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    one = server(host).instance(spec.name, DEFAULT_PROJECT)
    one.devices["disk1"] |= {"boot.priority": "7"}
    before = one.devices["disk1"]
    after = moved(host, spec, 1, pool_id)
    now = server(host).instance(spec.name, DEFAULT_PROJECT).devices["disk1"]
    assert now == {**before, "pool": pool_id, "source": after.disks[1].volume}


def test_a_disk_of_a_profile_does_not_move(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    lxd = server(host)
    one = lxd.instance(spec.name, DEFAULT_PROJECT)
    lxd.profiles["with-disk"] = {"config": {}, "devices": {"disk1": one.devices.pop("disk1")}}
    one.profiles.append("with-disk")
    with pytest.raises(WrongState, match=f"{lxd.release.product.replace('lxd', 'lxc')} config device override"):
        copy(host, spec, spec.disks[1], copy_of(host, spec, 1, pool_id))


def test_without_the_extension_no_root_disk_moves(host: CapableFixture) -> None:
    lxd = server(host)
    lxd.release = evolve(
        lxd.release, extensions=tuple(one for one in lxd.release.extensions if one != "instance_pool_move")
    )  # fmt: skip
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    with pytest.raises(Unsupported, match="instance_pool_move"):
        copy(host, spec, spec.disks[0], copy_of(host, spec, 0, pool_id))
    moved(host, spec, 1, pool_id)
    switch(host, spec, PowerAction.ON)


def test_a_volume_is_shared_only_while_its_instance_moves(host: CapableFixture) -> None:
    """Also if a rack was killed meanwhile: who settles the instance next ends it."""
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    volume = server(host).volumes[DEFAULT_PROJECT, host.pool_id, spec.disks[1].volume]
    before = dict(volume.config)
    if server(host).release.guards_volumes:
        volume.config |= {"security.shared": "true", "user.innkeeper.shared": "true"}
    moved(host, spec, 0, pool_id)
    assert volume.config == before


def test_a_volume_that_its_owner_shares_stays_so(host: CapableFixture) -> None:
    pool_id, spec = host.second_pool(), composed(host, disks=2)
    volume = server(host).volumes[DEFAULT_PROJECT, host.pool_id, spec.disks[1].volume]
    volume.config["security.shared"] = "true"
    moved(host, spec, 0, pool_id)
    assert volume.config["security.shared"] == "true"

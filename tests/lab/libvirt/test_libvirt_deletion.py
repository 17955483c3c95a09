"""What a region deletes on real libvirt, what it leaves and says so, and what it refuses before anything is changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh
from tests.lab.servers.lab_host import LabHost
from tests.lab.support.deployed_host import DeployedHost, add_libvirt
from tests.support.rejections import rejection
from tests.support.waiting import settle


@pytest.fixture
def host(lab_host: LabHost, innkeeper: Deployment) -> DeployedHost:
    host_id = settle(add_libvirt(innkeeper, lab_host))["id"]
    return DeployedHost(deployment=innkeeper, host_id=host_id, prefix=lab_host.prefix)


@pytest.fixture
def second(lab_host: LabHost, tmp_path: Path) -> Iterator[Any]:
    """Another storage pool, which the host also knows while it is inactive."""
    folder = tmp_path / "second"
    folder.mkdir()
    xml = f"<pool type='dir'><name>{lab_host.prefix}second</name><target><path>{folder}</path></target></pool>"
    pool = lab_host.connection.storagePoolDefineXML(xml)
    pool.create()
    yield pool
    if pool.isActive():
        pool.destroy()
    pool.undefine()


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def virsh(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("virsh", "-c", "qemu:///system", *arguments)
    assert await process.wait() == 0


async def test_a_volume_that_a_guest_that_is_off_has_by_its_pool_stays(lab_host: LabHost, host: DeployedHost) -> None:
    machine = await host.compose("shx", storage="root:1,data:1")
    root, data = sorted(volume for volume in lab_host.volumes() if volume[-1] in "01")
    other = lab_host.make_foreign("userB", disk=False)
    disk = ET.fromstring(  # noqa: S314  of the test
        f"<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='{lab_host.prefix}pool' "
        f"volume='{data}'/><target dev='vda' bus='virtio'/><shareable/></disk>"
    )
    other.attachDeviceFlags(ET.tostring(disk, encoding="unicode"), 2)
    await refresh(host.deployment, {"id": host.host_id})
    plan = (await host.deployment.delete(path(machine), dry_run="true")).json()
    stays = f"Disks that stay, because another VM or image needs them (1): {lab_host.prefix}pool/{data}."
    assert stays in plan["effects"]
    assert [len(guest["volumes"]) for guest in plan["deleted"]] == [1]
    await host.deployment.delete(path(machine))
    assert {root, data} & lab_host.volumes() == {data}


async def test_a_disk_without_its_file_fails_to_grow_once(lab_host: LabHost, host: DeployedHost) -> None:
    machine = await host.compose("gone", storage="root:1")
    (volume,) = [one for one in lab_host.volumes() if one.endswith("-0")]
    (lab_host.pool_folder / volume).unlink()
    error = await rejection(host.deployment.post(path(machine), op="grow_disk", disk="root", size=2))
    assert "does not know the size of the disk" in error.message
    (operation,) = await host.deployment.get("operations/?kind=grow_disk")
    assert operation["state"] == "failed"
    await host.deployment.delete(path(machine))
    assert lab_host.names() == lab_host.volumes() == set()


async def test_saved_memory_that_is_broken_is_named(lab_host: LabHost, host: DeployedHost) -> None:
    machine = await host.compose("saved", power_on="true")
    name = machine["hostname"]
    await virsh("managedsave", name)
    os.truncate(f"/var/lib/libvirt/qemu/save/{name}.save", 20_000)
    await refresh(host.deployment, {"id": host.host_id})
    error = await rejection(host.deployment.post(path(machine), op="power_on"))
    assert f"virsh managedsave-remove {name}" in error.message
    plan = (await host.deployment.delete(path(machine), dry_run="true")).json()
    assert f"Saved memory that is deleted with its VM (1): {name}." in plan["effects"]
    await virsh("managedsave-remove", name)
    await host.deployment.post(path(machine), op="power_on")
    await host.deployment.delete(path(machine))


async def test_nothing_is_deleted_while_a_pool_is_inactive(lab_host: LabHost, host: DeployedHost, second: Any) -> None:
    await refresh(host.deployment, {"id": host.host_id})
    machine = await host.compose("inact", storage=f"root:1({lab_host.prefix}pool),data:1({second.name()})")
    await host.deployment.post(path(machine), op="power_on")
    volumes = lab_host.volumes()
    second.destroy()
    for request in ({"dry_run": "true"}, {}):
        error = await rejection(host.deployment.delete(path(machine), **request))
        assert error.details["status"] == 409
        assert f"virsh pool-start {second.name()}" in error.message
    assert lab_host.is_running(machine["hostname"])
    assert lab_host.volumes() == volumes
    second.create()
    await host.deployment.delete(path(machine))
    assert lab_host.names() == lab_host.volumes() == set()
    assert second.listVolumes() == []


async def test_a_domain_that_became_transient_is_not_lost(lab_host: LabHost, host: DeployedHost) -> None:
    machine = await host.compose("trans", power_on="true")
    name = machine["hostname"]
    xml = lab_host.domain(name).XMLDesc()
    await virsh("undefine", name)
    offs: list[tuple[str, dict[str, Any]]] = [
        ("power_off", {}), ("power_off", {"stop_mode": "hard"}), ("power_cycle", {}),
    ]  # fmt: skip
    for op, fields in offs:
        error = await rejection(host.deployment.post(path(machine), op=op, **fields))
        assert "virsh define" in error.message
    assert lab_host.is_running(name)
    lab_host.connection.defineXML(xml)
    await host.deployment.post(path(machine), op="power_off", stop_mode="hard")
    assert lab_host.names() == {name}
    await host.deployment.delete(path(machine))


async def test_images_of_an_external_snapshot_stay_and_are_named(lab_host: LabHost, host: DeployedHost) -> None:
    machine = await host.compose("snap")
    (volume,) = [one for one in lab_host.volumes() if one.endswith("-0")]
    await virsh("snapshot-create-as", machine["hostname"], "before", "--disk-only")
    await refresh(host.deployment, {"id": host.host_id})
    assert (await host.deployment.get(path(machine)))["status_name"] == "Ready"
    plan = (await host.deployment.delete(path(machine), dry_run="true")).json()
    assert f"Snapshots that are deleted with their VM (1): {machine['hostname']}/before." in plan["effects"]
    layer = f"{lab_host.pool_folder}/{volume}.before"
    assert f"Images on the host that stay, as external snapshots leave them (1): {layer}." in plan["effects"]
    await host.deployment.delete(path(machine))
    assert lab_host.names() == set()
    assert lab_host.volumes() == {volume, f"{volume}.before"}

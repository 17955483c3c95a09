"""Disks that an administrator changes with virsh or lxc: the region's check reports them, and claims follow."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

from regiond.reconciler.model import DiscrepancyKind
from tests.deployment.deployment import Deployment
from tests.integration.support.discrepancies import kinds
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.deployed_host import add_libvirt, add_lxd

PREFIX = "ikdsk-"
GB = 10**9
MISSING = DiscrepancyKind.VOLUME_MISSING.value


async def found(innkeeper: Deployment, host: Any, system_id: str) -> list[str]:
    """Refreshes the host; returns the kinds of the machine's discrepancies."""
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    return await kinds(innkeeper, machine=system_id)


async def disks(innkeeper: Deployment, system_id: str) -> list[tuple[int, bool]]:
    """Returns the sizes of the machine's disks, and whether they are foreign."""
    shown = await innkeeper.get(f"machines/{system_id}/")
    return [(disk["size"], disk["foreign"]) for disk in shown["blockdevice_set"]]


async def claimed(innkeeper: Deployment) -> int:
    query = "select sum(amount)::bigint as bytes from claim where machine_id is not null and resource = 'storage_bytes'"
    (row,) = await innkeeper.fetch(query)
    return int(row["bytes"] or 0)


async def test_volumes_deleted_or_grown_with_virsh_are_reported(lab_host: LabHost, innkeeper: Deployment) -> None:
    host = await add_libvirt(innkeeper, lab_host)
    fields = {"hostname": f"{lab_host.prefix}disks", "cores": 1, "memory": 1024, "storage": "root:2,data:1"}
    system_id = (await innkeeper.compose(host["id"], **fields))["system_id"]
    assert await found(innkeeper, host, system_id) == []
    root, data = sorted(volume for volume in lab_host.volumes() if volume[-1] in "01")
    lab_host.pool.storageVolLookupByName(root).resize(3 * GB)
    assert await found(innkeeper, host, system_id) == []
    assert await claimed(innkeeper) == 4 * GB
    assert await disks(innkeeper, system_id) == [(3 * GB, False), (1 * GB, False)]
    lab_host.pool.storageVolLookupByName(data).delete()
    assert await found(innkeeper, host, system_id) == [MISSING]
    assert await claimed(innkeeper) == 3 * GB
    lab_host.pool.storageVolLookupByName(root).delete()
    assert await found(innkeeper, host, system_id) == [MISSING]
    assert await claimed(innkeeper) == 0
    machine = await innkeeper.get(f"machines/{system_id}/")
    assert [disk["missing"] for disk in machine["blockdevice_set"]] == [True, True]
    await innkeeper.delete(f"machines/{system_id}/")
    assert lab_host.names() == lab_host.volumes() == set()


async def test_a_disk_attached_with_virsh_is_adopted_and_removed(lab_host: LabHost, innkeeper: Deployment) -> None:
    host = await add_libvirt(innkeeper, lab_host)
    name = f"{lab_host.prefix}foreign"
    fields = {"hostname": name, "cores": 1, "memory": 1024, "storage": "root:1"}
    system_id = (await innkeeper.compose(host["id"], **fields))["system_id"]
    path, extra = f"machines/{system_id}/", f"{lab_host.prefix}extra.img"
    capacity = f"<volume><name>{extra}</name><capacity>{2 * GB}</capacity><allocation>0</allocation></volume>"
    volume = lab_host.pool.createXML(capacity)
    command = ["virsh", "-c", "qemu:///system", "attach-disk", name, volume.path(), "vdx", "--config"]
    await asyncio.to_thread(subprocess.run, command, check=True)
    assert await found(innkeeper, host, system_id) == []
    assert (await disks(innkeeper, system_id))[1:] == [(2 * GB, True)]
    assert await claimed(innkeeper) == 3 * GB
    await innkeeper.post(path, op="adopt_disk", disk="disk1")
    await innkeeper.post(path, op="grow_disk", disk="disk1", size=3)
    assert (await disks(innkeeper, system_id))[1:] == [(3 * GB, False)]
    await innkeeper.post(path, op="remove_disk", disk="disk1")
    assert extra not in lab_host.volumes()
    assert await found(innkeeper, host, system_id) == []
    await innkeeper.delete(path)


async def test_a_running_vm_whose_root_volume_was_deleted_is_reported(lab_host: LabHost, innkeeper: Deployment) -> None:
    host = await add_libvirt(innkeeper, lab_host)
    fields = {"hostname": f"{lab_host.prefix}runs", "cores": 1, "memory": 1024, "storage": "root:1"}
    system_id = (await innkeeper.compose(host["id"], power_on="true", **fields))["system_id"]
    assert await found(innkeeper, host, system_id) == []
    (root,) = [volume for volume in lab_host.volumes() if volume.endswith("-0")]
    lab_host.pool.storageVolLookupByName(root).delete()
    assert await found(innkeeper, host, system_id) == [MISSING]
    assert await claimed(innkeeper) == 1 * GB, "QEMU still has the file open"


async def test_disks_changed_with_lxc_are_reported(server: LxdServer, innkeeper: Deployment) -> None:
    host = await add_lxd(innkeeper, server)
    name = f"{PREFIX}vm"
    composed = await innkeeper.compose(host["id"], hostname=name, memory=1024, storage="root:1,data:1")
    system_id = composed["system_id"]
    assert await found(innkeeper, host, system_id) == []
    await asyncio.to_thread(server.lxc, "config", "device", "set", name, "root", "size=3000000000B")
    assert await found(innkeeper, host, system_id) == []
    assert await claimed(innkeeper) == 4 * GB
    extra = f"{PREFIX}extra"
    await asyncio.to_thread(
        server.lxc, "storage", "volume", "create", "default", extra, "--type=block", "size=2000000000B"
    )
    await asyncio.to_thread(server.lxc, "storage", "volume", "attach", "default", extra, name)
    assert await found(innkeeper, host, system_id) == []
    assert await claimed(innkeeper) == 6 * GB
    assert await disks(innkeeper, system_id) == [(3 * GB, False), (1 * GB, False), (2 * GB, True)]
    path = f"machines/{system_id}/"
    await innkeeper.post(path, op="adopt_disk", disk="disk2")
    await innkeeper.post(path, op="remove_disk", disk="disk2", keep="true")
    (kept,) = await innkeeper.get("kept-disks/")
    await innkeeper.post(path, op="attach_disk", kept_disk=kept["id"])
    assert (await disks(innkeeper, system_id))[2] == (2 * GB, False)
    await innkeeper.delete(path)
    (kept,) = await innkeeper.get("kept-disks/")
    assert extra in await asyncio.to_thread(server.lxc, "storage", "volume", "list", "default")
    await innkeeper.delete(f"kept-disks/{kept['id']}/")
    assert extra not in await asyncio.to_thread(server.lxc, "storage", "volume", "list", "default")


async def test_an_adopted_lxd_vm_has_the_disks_with_which_it_was_adopted(
    server: LxdServer, innkeeper: Deployment
) -> None:
    host = await add_lxd(innkeeper, server)
    await asyncio.to_thread(server.make_many, PREFIX, "default", range(1))
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    ((_, name),) = await asyncio.to_thread(server.instances, PREFIX)
    (adopted,) = await innkeeper.post(f"vm-hosts/{host['id']}/", op="adopt", guests=name)
    assert await found(innkeeper, host, adopted["system_id"]) == []
    await asyncio.to_thread(server.lxc, "config", "device", "set", name, "root", "size=3000000000B")
    assert await found(innkeeper, host, adopted["system_id"]) == []
    assert await claimed(innkeeper) == 3 * GB

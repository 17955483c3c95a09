"""Disks that an administrator changes with virsh or lxc: the region's check reports them, and claims follow."""

from __future__ import annotations

import asyncio
from typing import Any

from regiond.reconciler.model import DiscrepancyKind
from tests.deployment.deployment import Deployment
from tests.integration.discrepancies import kinds
from tests.lab.deployed_host import add_libvirt, add_lxd
from tests.lab.lab_host import LabHost
from tests.lab.lxd_server import LxdServer

PREFIX = "ikdsk-"
GB = 10**9
MISSING, CHANGED = DiscrepancyKind.VOLUME_MISSING.value, DiscrepancyKind.DISKS_CHANGED.value


async def found(innkeeper: Deployment, host: Any, system_id: str) -> list[str]:
    """Refreshes the host; returns the kinds of the machine's discrepancies."""
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    return await kinds(innkeeper, machine=system_id)


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
    assert await found(innkeeper, host, system_id) == [CHANGED]
    assert await claimed(innkeeper) == 4 * GB
    lab_host.pool.storageVolLookupByName(data).delete()
    assert await found(innkeeper, host, system_id) == sorted([CHANGED, MISSING])
    assert await claimed(innkeeper) == 3 * GB
    lab_host.pool.storageVolLookupByName(root).delete()
    assert await found(innkeeper, host, system_id) == [MISSING]
    assert await claimed(innkeeper) == 0
    machine = await innkeeper.get(f"machines/{system_id}/")
    assert [disk["missing"] for disk in machine["blockdevice_set"]] == [True, True]
    await innkeeper.delete(f"machines/{system_id}/")
    assert lab_host.names() == lab_host.volumes() == set()


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
    assert await found(innkeeper, host, system_id) == [CHANGED]
    assert await claimed(innkeeper) == 4 * GB
    extra = f"{PREFIX}extra"
    await asyncio.to_thread(
        server.lxc, "storage", "volume", "create", "default", extra, "--type=block", "size=2000000000B"
    )
    await asyncio.to_thread(server.lxc, "storage", "volume", "attach", "default", extra, name)
    assert await found(innkeeper, host, system_id) == [CHANGED]
    assert await claimed(innkeeper) == 6 * GB
    (one,) = [one for one in await innkeeper.get("discrepancies/") if one["kind"] == CHANGED]
    assert one["found"] == f"disk 0 has 3.0 GB; its guest also has {extra} ({extra}, 2.0 GB in default)"
    await innkeeper.post(f"discrepancies/{one['id']}/", op="approve", etag=one["etag"])
    assert await found(innkeeper, host, system_id) == []
    machine = await innkeeper.get(f"machines/{system_id}/")
    assert [disk["size"] for disk in machine["blockdevice_set"]] == [3 * GB, 1 * GB, 2 * GB]
    await innkeeper.delete(f"machines/{system_id}/")
    assert extra in await asyncio.to_thread(server.lxc, "storage", "volume", "list", "default")
    await asyncio.to_thread(server.lxc, "storage", "volume", "delete", "default", extra)


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
    assert await found(innkeeper, host, adopted["system_id"]) == [CHANGED]
    assert await claimed(innkeeper) == 3 * GB

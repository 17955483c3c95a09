"""VMs of real LXD in files: exported, imported by another kind of host and back, with the same bytes on their disks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.images.test_exports import export
from tests.integration.machines.disks.test_disk_changes import path
from tests.integration.support.adoption import rows
from tests.lab.servers.lxd_server import LxdServer
from tests.support.waiting import eventually

PREFIX = "ikexp-"
MIB = 2**20
STORAGE = "root:1,data:0.064"
CONTENT = ((0, 0, os.urandom(3 * MIB + 100)), (0, 700 * MIB + 7, b"middle"), (1, 60 * MIB - 3, os.urandom(MIB)))


async def lxd_host(innkeeper: Deployment, server: LxdServer) -> int:
    token = await asyncio.to_thread(server.token, "innkeeper")
    host = await innkeeper.post("vm-hosts/", type="lxd", power_address=server.address, password=token, name="lxd")
    return int(host["id"])


async def composed(innkeeper: Deployment, host_id: int, name: str) -> Any:
    made = await innkeeper.compose(host_id, hostname=name, cores=1, memory=1024, storage=STORAGE)
    return await innkeeper.get(path(made))


def disk_files(server: LxdServer, name: str, machine: Any) -> list[Path]:
    found = []
    for number, disk in enumerate(machine["blockdevice_set"]):
        root, custom = server.volume_files(disk["storage_pool"], name, volume_of(server, name, number))
        found.append(custom if number else root)
    return found


def volume_of(server: LxdServer, name: str, number: int) -> str:
    devices = server.ask(f"/1.0/instances/{name}")["devices"]
    return "" if number == 0 else str(devices[f"disk{number}"]["source"])


def put(files: list[Path]) -> None:
    for number, at, data in CONTENT:
        with files[number].open("r+b") as file:
            file.seek(at)
            file.write(data)


def holds(files: list[Path]) -> bool:
    for number, at, data in CONTENT:
        with files[number].open("rb") as file:
            file.seek(at)
            if file.read(len(data)) != data:
                return False
    return True


async def imported(innkeeper: Deployment, host_id: int, made: Any, name: str, subnet: str) -> Any:
    new = await innkeeper.post(
        f"vm-hosts/{host_id}/", op="import", export=made["id"], hostname=name, interfaces=f"eth0:subnet_cidr={subnet}"
    )

    async def done() -> Any:
        machine = await innkeeper.get(path(new))
        return machine if machine["status_name"] not in ("Composing", "Commissioning") else None

    return await eventually(done)


def hashes(made: Any) -> list[str]:
    assert made["state"] == "ready", made["error"]
    return [disk["sha256"] for disk in made["description"]["disks"]]


def left(server: LxdServer, prefix: str = PREFIX) -> list[Any]:
    """The backups of all instances, and the images."""
    names = [name for _, name in server.instances(prefix)]
    backups = [one for name in names for one in server.ask(f"/1.0/instances/{name}/backups")]
    volumes = server.ask("/1.0/storage-pools/default/volumes/custom")
    return [*backups, *(one for url in volumes for one in server.ask(f"{url}/backups")), *server.our_images()]


@pytest.mark.database
async def test_a_vm_goes_from_lxd_to_another_host_and_back(server: LxdServer, innkeeper: Deployment) -> None:
    host_id = await lxd_host(innkeeper, server)
    await innkeeper.add_simulated(cores=16, memory_mib=32768)
    machine = await composed(innkeeper, host_id, f"{PREFIX}web")
    files = await asyncio.to_thread(disk_files, server, f"{PREFIX}web", machine)
    await asyncio.to_thread(put, files)
    first = await export(innkeeper, machine)
    assert await asyncio.to_thread(left, server) == []
    away = await imported(innkeeper, innkeeper.hosts["sim"], first, "away", "192.168.122.0/24")
    stored = rows(innkeeper, "select data from content join disk using (pool, volume) order by position, at")
    assert b"".join(bytes(row[0]) for row in stored).count(b"middle") == 1
    second = await export(innkeeper, away)
    assert hashes(second) == hashes(first)
    back = await imported(innkeeper, host_id, second, f"{PREFIX}back", first["description"]["nics"][0]["subnet"])
    assert back["status_name"] == "Allocated"
    new = await asyncio.to_thread(disk_files, server, f"{PREFIX}back", back)
    assert await asyncio.to_thread(holds, new)
    assert new[0].stat().st_blocks * 512 < 16 * MIB, "the root disk is sparse"
    third = await export(innkeeper, back)
    assert hashes(third) == hashes(first)
    assert await asyncio.to_thread(left, server) == []
    await innkeeper.delete(path(back))
    assert await innkeeper.discrepancies() == []
    assert await asyncio.to_thread(holds, files)

"""API, region, rack and real QEMU: machines are composed, powered and deleted, and foreign guests stay unchanged."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, field

from rackd.drivers.libvirt.guests import power as guest_power
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.lab.servers.lab_host import FOREIGN_DISK_BYTES, LabHost, definition
from tests.lab.support.deployed_host import add_libvirt
from tests.support.clock import Clock
from tests.support.waiting import eventually

ROOT_BYTES = 2 * 10**9
GRACE_S = 600.0  # it passes when the test says so
SMALL: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "2"}


@define
class GraceClock(Clock):
    """Knows which threads wait for a guest to shut down."""

    readers: set[int] = field(factory=set)

    def __call__(self) -> float:
        self.readers.add(threading.get_ident())
        return self.now


async def compose(innkeeper: Deployment, lab_host: LabHost, host: Any, name: str, **more: Any) -> str:
    """Composes a small machine; returns its system id."""
    fields = {**SMALL, "hostname": f"{lab_host.prefix}{name}", **more}
    composed = await innkeeper.compose(host["id"], **fields)
    return str(composed["system_id"])


async def power(innkeeper: Deployment, system_id: str, op: str, **fields: Any) -> str:
    """The power state in the response."""
    return str((await innkeeper.post(f"machines/{system_id}/", op=op, **fields))["power_state"])


async def queried_power(innkeeper: Deployment, system_id: str) -> str:
    return str((await innkeeper.get(f"machines/{system_id}/", op="query_power_state"))["state"])


def memory_of_this_machine_mib() -> int:
    (line,) = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:")]
    return int(line.split()[1]) // 1024


async def pool_used(innkeeper: Deployment, lab_host: LabHost, host: Any) -> int:
    found = await innkeeper.get(f"vm-hosts/{host['id']}/")
    return int(next(pool["used"] for pool in found["storage_pools"] if pool["id"] == lab_host.pool_id))


async def test_a_machine_is_composed_powered_and_deleted(lab_host: LabHost, innkeeper: Deployment) -> None:
    host = await add_libvirt(innkeeper, lab_host)
    name = f"{lab_host.prefix}first"
    system_id = await compose(innkeeper, lab_host, host, "first", storage="root:2,data:1")
    async with innkeeper.region.components.database.connection() as db:
        installation = await db.fetchval("select id::text from installation")
        machine = await db.fetchval("select uuid::text from machine")
    assert lab_host.marker(name) == {"installation": installation, "machine": machine}
    assert lab_host.tree(name).get("type") in {"qemu", "kvm"}
    assert len(lab_host.volumes()) == 3, "two disks and the serial log"
    assert lab_host.domain(name).autostart() == 0
    assert not lab_host.is_running(name)

    assert await power(innkeeper, system_id, "power_on") == "on"
    assert lab_host.is_running(name)
    assert lab_host.domain(name).autostart() == 1, "it ran before its host goes down"
    assert await queried_power(innkeeper, system_id) == "on"
    assert await power(innkeeper, system_id, "power_on") == "on"
    assert await power(innkeeper, system_id, "power_off", stop_mode="hard") == "off"
    assert not lab_host.is_running(name)
    assert await queried_power(innkeeper, system_id) == "off"
    assert await power(innkeeper, system_id, "power_cycle") == "on"
    assert lab_host.is_running(name)

    assert (await innkeeper.delete(f"machines/{system_id}/")).status == 204
    assert lab_host.names() == lab_host.volumes() == set()
    assert await innkeeper.get("machines/") == []


async def test_an_unresponsive_guest_is_forced_off_in_time(
    tmp_path: Path, database_url: str, lab_host: LabHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = GraceClock()
    monkeypatch.setattr(guest_power, "time", SimpleNamespace(monotonic=clock))
    async with deployed(tmp_path, database_url, power_off_grace_s=GRACE_S) as innkeeper:
        await innkeeper.start_rack()
        host = await add_libvirt(innkeeper, lab_host)
        stuck, cycled = [
            await compose(innkeeper, lab_host, host, name, power_on="true") for name in ("stuck", "cycled")
        ]
        first_run = lab_host.domain(f"{lab_host.prefix}cycled").ID()
        switching = [
            asyncio.create_task(power(innkeeper, stuck, "power_off")),
            asyncio.create_task(power(innkeeper, cycled, "power_cycle")),
        ]
        other = await compose(innkeeper, lab_host, host, "meanwhile", power_on="true")
        assert await queried_power(innkeeper, other) == await queried_power(innkeeper, stuck) == "on"
        assert not any(task.done() for task in switching)
        await eventually(lambda: len(clock.readers) == len(switching))
        clock.now += GRACE_S
        assert await asyncio.gather(*switching) == ["off", "on"]
        assert not lab_host.is_running(f"{lab_host.prefix}stuck")
        assert lab_host.domain(f"{lab_host.prefix}cycled").ID() != first_run


async def test_foreign_guests_are_counted_and_never_changed(lab_host: LabHost, innkeeper: Deployment) -> None:
    still, running = lab_host.make_foreign("still", cores=3, memory_mib=96), lab_host.make_foreign("running")
    running.create()
    before = [definition(still), definition(running)]
    run = running.ID()
    host = await add_libvirt(innkeeper, lab_host)
    assert await pool_used(innkeeper, lab_host, host) == 2 * FOREIGN_DISK_BYTES
    await compose(innkeeper, lab_host, host, "managed", power_on="true")
    assert await pool_used(innkeeper, lab_host, host) == 2 * FOREIGN_DISK_BYTES + ROOT_BYTES

    async def counted() -> bool:  # other tests may use this libvirt
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        now = await innkeeper.get(f"vm-hosts/{host['id']}/")
        used, total, left = now["used"], now["total"], now["available"]
        assert {key: total[key] - used[key] for key in used} == left
        return bool((used["cores"], used["memory"]) == lab_host.compute())

    await eventually(counted)
    total = (await innkeeper.get(f"vm-hosts/{host['id']}/"))["total"]
    assert total["cores"] == lab_host.connection.getInfo()[2]
    assert total["memory"] == memory_of_this_machine_mib()
    listed = {guest["identifier"]: guest for guest in await innkeeper.get("virtual-machines/")}
    assert listed[still.name()]["machine_id"] is None
    assert (listed[still.name()]["unpinned_cores"], listed[still.name()]["memory"]) == (3, 96)
    assert listed[f"{lab_host.prefix}managed"]["machine_id"] is not None

    assert (await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true")).status == 204
    assert lab_host.names() == {still.name(), running.name()}
    assert lab_host.volumes() == {"still.img", "running.img"}
    assert [definition(still), definition(running)] == before
    assert (still.isActive(), running.isActive(), running.ID()) == (0, 1, run)


@pytest.mark.database
async def test_events_report_changes_made_in_libvirt(lab_host: LabHost, innkeeper: Deployment) -> None:
    host = await add_libvirt(innkeeper, lab_host)
    system_id = await compose(innkeeper, lab_host, host, "managed", power_on="true")

    async def knows(name: str) -> bool:
        return name in {guest["identifier"] for guest in await innkeeper.get("virtual-machines/")}

    foreign = lab_host.make_foreign("visitor")
    name = foreign.name()
    await eventually(lambda: knows(name))

    async def power_state() -> str:
        return str((await innkeeper.get(f"machines/{system_id}/"))["power_state"])

    lab_host.domain(f"{lab_host.prefix}managed").destroy()

    async def is_off() -> bool:
        return await power_state() == "off"

    await eventually(is_off)
    foreign.undefine()

    async def is_removed() -> bool:
        return not await knows(name)

    await eventually(is_removed)


async def test_a_machine_without_its_pool_or_disk_stays_managed(lab_host: LabHost, innkeeper: Deployment) -> None:
    host = await add_libvirt(innkeeper, lab_host)
    system_id = await compose(innkeeper, lab_host, host, "managed")

    async def is_managed() -> bool:
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        machine = await innkeeper.get(f"machines/{system_id}/")
        guests = {guest["identifier"]: guest for guest in await innkeeper.get("virtual-machines/")}
        return bool(machine["status_name"] == "Ready" and guests[f"{lab_host.prefix}managed"]["machine_id"])

    lab_host.pool.destroy()
    assert await is_managed()
    lab_host.pool.create()
    lab_host.lose_volumes()
    assert await is_managed()
    assert (await innkeeper.delete(f"machines/{system_id}/")).status == 204
    assert lab_host.names() == set()

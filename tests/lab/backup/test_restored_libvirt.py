"""Regions and domains that are restored from a backup: what differs is reported, and no domain is touched unasked."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from common.guests.guest_spec import GuestSpec
from common.serialization import from_dict
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from regiond.reconciler.model import DiscrepancyKind
from tests.deployment.deployment import Deployment
from tests.deployment.restored import lose_and_restore, save
from tests.integration.support.adoption import refresh
from tests.integration.support.discrepancies import Sweeper, kinds_after_refresh, only_after_refresh
from tests.integration.support.tables import sql
from tests.lab.backup.restored_uses import check_restored_uses, restored_uses
from tests.lab.servers.lab_host import LabHost, definition
from tests.lab.support.deployed_host import DeployedHost, add_libvirt
from tests.support.waiting import eventually


def all_of(lab_host: LabHost) -> dict[str, tuple[str, int | None]]:
    """Definition and process of every domain of this test."""
    return {name: (definition(lab_host.domain(name)), process(lab_host, name)) for name in lab_host.names()}


def process(lab_host: LabHost, name: str) -> int | None:
    return int(Path(f"/run/libvirt/qemu/{name}.pid").read_text()) if lab_host.is_running(name) else None


async def test_no_domain_changes_when_a_region_is_restored(lab_host: LabHost, deployment: Deployment) -> None:
    await deployment.start()
    host = DeployedHost(
        deployment=deployment, host_id=(await add_libvirt(deployment, lab_host))["id"], prefix=lab_host.prefix
    )
    stopped, deleted = [await host.compose(name, power_on="true") for name in ("stopped", "deleted")]
    await host.compose("started")
    foreign = lab_host.make_foreign("adopted").name()
    await deployment.post(f"vm-hosts/{host.host_id}/", op="refresh")  # the event of it may come later
    await save(deployment)

    async def machines() -> dict[str, Any]:
        return {one["hostname"].removeprefix(host.prefix): one for one in await deployment.get("machines/")}

    since = await host.compose("since")
    await host.remove(deleted)
    await deployment.post(f"machines/{stopped['system_id']}/", op="power_off", stop_mode="hard")
    await deployment.post(f"machines/{(await machines())['started']['system_id']}/", op="power_on")
    await deployment.post(f"vm-hosts/{host.host_id}/", op="adopt", guests=foreign)
    domains, volumes = all_of(lab_host), lab_host.volumes()

    await lose_and_restore(deployment)

    async def found() -> dict[str, set[str | None]]:
        kinds: dict[str, set[str | None]] = {}
        for one in await deployment.discrepancies():
            kinds.setdefault(one.kind, set()).add(one.name)
        return kinds

    async def reported() -> bool:
        return (await found()).keys() >= {DiscrepancyKind.MACHINE_MISSING, DiscrepancyKind.UNKNOWN_GUEST}

    await eventually(reported)
    kinds = await found()
    assert kinds[DiscrepancyKind.MACHINE_MISSING] == {deleted["hostname"]}
    # libvirt lists no marker of an adopted domain: it is a foreign guest again.
    assert kinds[DiscrepancyKind.UNKNOWN_GUEST] == {since["hostname"]}
    states = {name: one["power_state"] for name, one in (await machines()).items()}
    assert (states["stopped"], states["started"]) == ("off", "on")
    assert states.keys() == {"stopped", "started", "deleted"}
    assert (all_of(lab_host), lab_host.volumes()) == (domains, volumes)

    # Both can be adopted: neither is changed but for its marker, and both are machines again.
    await deployment.post(f"vm-hosts/{host.host_id}/", op="adopt", guests=[since["hostname"], foreign])
    assert (await machines()).keys() == {"stopped", "started", "deleted", "since", "adopted"}
    assert lab_host.volumes() == volumes


def put_back(lab_host: LabHost, saved: dict[str, bytes]) -> None:
    """Restores the volumes from a backup."""
    for name, content in saved.items():
        (lab_host.pool_folder / name).write_bytes(content)
    lab_host.pool.refresh()


async def test_a_redefined_domain_is_deleted_after_approval_only(lab_host: LabHost, innkeeper: Deployment) -> None:
    """The administrator puts its disk back, then runs `virsh define` on its saved definition."""
    host, sweeper, name = await add_libvirt(innkeeper, lab_host), Sweeper(innkeeper), f"{lab_host.prefix}vm"
    machine = await innkeeper.compose(host["id"], hostname=name, memory=1024, storage="1")
    before = definition(lab_host.domain(name))
    saved = {volume: (lab_host.pool_folder / volume).read_bytes() for volume in lab_host.volumes()}
    assert saved
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    assert (lab_host.names(), lab_host.volumes()) == (set(), set())

    put_back(lab_host, saved)
    await refresh(innkeeper, host)
    offered = {one["name"]: (one["kind"], one["repair_policy"]) for one in await innkeeper.get("discrepancies/")}
    assert offered == dict.fromkeys(saved, ("orphaned_volume", "approval"))
    assert [await sweeper.sweep() for _ in range(3)] == [[], [], []]
    lab_host.connection.defineXML(before)

    found = await only_after_refresh(innkeeper, host)
    assert (found["kind"], found["name"], found["repair_policy"]) == ("leftover_guest", name, "approval")
    await refresh(innkeeper, host)
    assert [await sweeper.sweep() for _ in range(3)] == [[], [], []]
    assert await sql(innkeeper, "select 1 from operation where kind = 'clean_up'") == []
    assert (lab_host.names(), lab_host.volumes()) == ({name}, set(saved))

    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    await eventually(lambda: (lab_host.names(), lab_host.volumes()) == (set(), set()))
    assert await kinds_after_refresh(innkeeper, host) == []


async def test_what_a_late_call_of_a_failed_compose_creates_is_deleted(
    lab_host: LabHost, innkeeper: Deployment
) -> None:
    host, name = await add_libvirt(innkeeper, lab_host), f"{lab_host.prefix}late"
    foreign = lab_host.make_foreign("late", disk=False)
    with pytest.raises(InnkeeperError, match="already"):
        await innkeeper.compose(host["id"], hostname=name, memory=1024, storage="1")
    foreign.undefine()
    ((spec,),) = await sql(innkeeper, "select request->'spec' from operation where kind = 'compose'")
    late = from_dict(spec, GuestSpec)
    driver = LibvirtDriver(lambda: Client.open("qemu:///system"), late.marker.installation_id)
    with closing(driver):
        await asyncio.to_thread(driver.compose, late)
    assert lab_host.names() == {name}
    assert lab_host.volumes() >= {disk.volume for disk in late.disks}
    await refresh(innkeeper, host)
    await eventually(lambda: (lab_host.names(), lab_host.volumes()) == (set(), set()))


async def test_nobody_gets_a_domain_that_was_used_since_the_backup(lab_host: LabHost, deployment: Deployment) -> None:
    await deployment.start()
    host_id = (await add_libvirt(deployment, lab_host))["id"]

    def root_disk(name: str) -> Path:
        source = lab_host.tree(name).find("devices/disk[@device='disk']/source")
        assert source is not None
        return Path(source.attrib["file"])

    host = DeployedHost(deployment=deployment, host_id=host_id, prefix=lab_host.prefix)
    await check_restored_uses(await restored_uses(host, root_disk))

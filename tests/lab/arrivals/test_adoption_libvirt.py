"""Adoption on real QEMU: the process continues, and only the domain's metadata changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.deployment.deployment import Deployment
from tests.lab.servers.lab_host import LabHost, definition
from tests.lab.support.deployed_host import add_libvirt

_METADATA = re.compile(r"\n? *<metadata>.*?</metadata>|\n? *<metadata/>", re.DOTALL)


def running(lab_host: LabHost, name: str) -> str:
    """Creates and starts a foreign domain; returns its full name."""
    domain = lab_host.make_foreign(name)
    domain.create()
    return str(domain.name())


def process(name: str) -> int:
    return int(Path(f"/run/libvirt/qemu/{name}.pid").read_text())


def all_but_metadata(lab_host: LabHost, name: str) -> tuple[str, str]:
    """The live and the persistent XML."""
    domain = lab_host.domain(name)
    return _METADATA.sub("", domain.XMLDesc()), _METADATA.sub("", definition(domain))


async def machine_of(innkeeper: Deployment, hostname: str) -> Any:
    return next((one for one in await innkeeper.get("machines/") if one["hostname"] == hostname), None)


async def test_a_running_domain_is_adopted_and_disowned_unchanged(lab_host: LabHost, innkeeper: Deployment) -> None:
    name = running(lab_host, "theirs")
    before = all_but_metadata(lab_host, name), process(name), lab_host.volumes()
    path = f"vm-hosts/{(await add_libvirt(innkeeper, lab_host))['id']}/"
    (adopted,) = await innkeeper.post(path, op="adopt", guests=name)
    marker = lab_host.marker(name)
    assert marker is not None
    assert marker["machine"] == lab_host.domain(name).UUIDString()
    for _ in range(2):  # libvirt's list of domains does not contain the marker
        await innkeeper.post(path, op="refresh")
        machine = await innkeeper.get(f"machines/{adopted['system_id']}/")
        assert (machine["hostname"], machine["status_name"], machine["power_state"]) == (name, "Deployed", "on")
        assert machine["hardware_uuid"] == marker["machine"]
        assert [disk["size"] for disk in machine["blockdevice_set"]] == [16 * 1024 * 1024]
    assert (all_but_metadata(lab_host, name), process(name), lab_host.volumes()) == before
    await innkeeper.api.send("POST", f"machines/{adopted['system_id']}/", query=[("op", "forget")])
    assert (all_but_metadata(lab_host, name), process(name), lab_host.volumes()) == before
    assert lab_host.marker(name) is None
    await innkeeper.post(path, op="refresh")
    assert await machine_of(innkeeper, name) is None


async def test_adopted_domains_are_reattached_and_keep_their_disk(lab_host: LabHost, innkeeper: Deployment) -> None:
    name = running(lab_host, "adopted")
    pid, volumes = process(name), lab_host.volumes()
    host = await add_libvirt(innkeeper, lab_host)
    (adopted,) = await innkeeper.post(f"vm-hosts/{host['id']}/", op="adopt", guests=name)
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    assert [one["hostname"] for one in await innkeeper.get("machines/", op="detached")] == [name]
    again = await innkeeper.post("vm-hosts/", type="virsh", power_address="qemu:///system", name="again")
    machine = await machine_of(innkeeper, name)
    assert (machine["system_id"], machine["pod"]["id"]) == (adopted["system_id"], again["id"])
    assert process(name) == pid
    assert len(machine["blockdevice_set"]) == 1
    await innkeeper.post(f"machines/{machine['system_id']}/", op="power_off", stop_mode="hard")
    await innkeeper.post(f"vm-hosts/{again['id']}/", op="refresh")
    assert (await machine_of(innkeeper, name))["power_state"] == "off"
    plan = (await innkeeper.delete(f"machines/{machine['system_id']}/", dry_run="true")).json()
    assert plan["deleted"][0]["volumes"] == [], "its volume has a name of somebody else"
    assert volume_of(plan).rstrip(".").partition("/")[2] in volumes
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    assert name not in lab_host.names()
    assert lab_host.volumes() == volumes
    await innkeeper.delete(f"vm-hosts/{again['id']}/")
    assert await innkeeper.get("kept-disks/") == []
    await innkeeper.post("vm-hosts/", type="virsh", power_address="qemu:///system", name="back")
    (kept,) = await innkeeper.get("kept-disks/")
    assert (kept["hostname"], kept["is_listed"]) == (name, True)
    await innkeeper.delete(f"kept-disks/{kept['id']}/")
    assert lab_host.volumes() == set()


def volume_of(plan: Any) -> str:
    """The storage pool and the volume that the plan keeps, as it ends."""
    (kept,) = [effect for effect in plan["effects"] if effect.startswith("Disks that Innkeeper did not create")]
    return str(kept.rpartition(" ")[2])


async def test_a_disowned_machine_stays_foreign_until_adopted(lab_host: LabHost, innkeeper: Deployment) -> None:
    path = f"vm-hosts/{(await add_libvirt(innkeeper, lab_host))['id']}/"
    name = f"{lab_host.prefix}mine"
    composed = await innkeeper.post(path, op="compose", hostname=name, cores=1, memory=1024, storage="0.01")
    await innkeeper.api.send("POST", f"machines/{composed['system_id']}/", query=[("op", "forget")])
    for _ in range(2):  # its volumes are still named after the marker
        await innkeeper.post(path, op="refresh")
        assert await machine_of(innkeeper, name) is None
        assert name in lab_host.names()
    (adopted,) = await innkeeper.post(path, op="adopt", guests=name)
    await innkeeper.delete(f"machines/{adopted['system_id']}/")
    assert (lab_host.names(), lab_host.volumes()) == (set(), set()), "Innkeeper composed it, with its volumes"

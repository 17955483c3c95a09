"""Constraints from the API to real QEMU, checked in libvirt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from attrs import frozen

from common.disks.volume_names import seed_name
from common.errors import InnkeeperError, InvalidRequest
from common.values import OwnershipMarker
from tests.deployment.deployment import Deployment
from tests.lab.servers.host_setup import HUGE_PAGE_KIB, host_bridge
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.lab.servers.needs import require, why_no_libvirt
from tests.lab.support.cloud_init_image import cloud_init_files
from tests.lab.support.deployed_host import DeployedHost, add_libvirt
from tests.support.waiting import settle

PLAIN = "10.254.10"  # the subnet of a bridge that libvirt does not manage


@frozen(kw_only=True)
class LibvirtLab:
    """The real libvirt with two storage pools, a separate network and a bridge of the server."""

    fast: LabHost
    bulk: LabHost
    network: LabNetwork
    bridge: str

    def residue(self) -> tuple[set[str], set[str], set[str], list[dict[str, str]]]:
        return self.fast.names(), self.fast.volumes(), self.bulk.volumes(), self.network.hosts()


NOTHING: tuple[set[str], set[str], set[str], list[dict[str, str]]] = (set(), set(), set(), [])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LibvirtLab]:
    require(why_no_libvirt())
    folders = [tmp_path / name for name in ("fast", "bulk")]
    for folder in folders:
        folder.mkdir()
    fast, bulk = (LabHost(folder, prefix="ikcon") for folder in folders)
    try:
        with lab_network(fast.connection) as network, host_bridge(f"{PLAIN}.1/24") as bridge:
            yield LibvirtLab(fast=fast, bulk=bulk, network=network, bridge=bridge)
    finally:
        fast.close()
        bulk.close()


@frozen(kw_only=True)
class LibvirtHost(DeployedHost):
    """This libvirt is the only host; its bridge is assigned to its own VLAN."""

    lab: LibvirtLab
    vlan_id: int
    fabric: str

    def shown(self, name: str) -> ET.Element:
        """As `virsh dumpxml` shows it."""
        return self.lab.fast.tree(f"{self.lab.fast.prefix}{name}")

    async def cloud_init_nics(self, name: str) -> Any:
        """The NICs that cloud-init configures."""
        async with self.deployment.region.components.database.connection() as db:
            installation = await db.fetchval("select id from installation")
        machine = UUID(self.shown(name).findtext("uuid"))
        image = seed_name(OwnershipMarker(installation_id=installation, machine_id=machine))
        found = await asyncio.to_thread(cloud_init_files, self.lab.fast.pool_folder / image)
        return found["network-config"]["ethernets"]

    async def used(self, pool_id: str) -> int:
        """Bytes used in the storage pool."""
        return next(int(pool["used"]) for pool in await self.pools() if pool["id"] == pool_id)


@pytest.fixture
def host(lab: LibvirtLab, innkeeper: Deployment) -> LibvirtHost:
    return settle(added(innkeeper, lab))


async def added(innkeeper: Deployment, lab: LibvirtLab) -> LibvirtHost:
    host = await add_libvirt(innkeeper, lab.fast)
    fabric = await innkeeper.post("fabrics/", name="yard")
    vlan = await innkeeper.post(f"fabrics/{fabric['id']}/vlans/", vid=101, name="front")
    await innkeeper.post("subnets/", cidr=f"{PLAIN}.0/24", vlan=vlan["id"])
    node = f"nodes/{host['host']['system_id']}/interfaces/"
    bridge = next(one for one in await innkeeper.get(node) if one["name"] == lab.bridge)
    await innkeeper.put(f"{node}{bridge['id']}/", vlan=vlan["id"])
    return LibvirtHost(
        deployment=innkeeper, host_id=host["id"], prefix=lab.fast.prefix, lab=lab, vlan_id=vlan["id"],
        fabric=fabric["name"],
    )  # fmt: skip


def nics_of(tree: ET.Element) -> list[tuple[str | None, dict[str, str]]]:
    """The type and source of each NIC."""
    found = []
    for nic in tree.iterfind("devices/interface"):
        source = nic.find("source")
        found.append((nic.get("type"), {} if source is None else dict(source.attrib)))
    return found


async def test_libvirt_has_the_requested_disks_nics_and_pins(lab: LibvirtLab, host: LibvirtHost) -> None:
    bulk = f"{lab.bulk.prefix}pool"
    machine = await host.compose(
        "whole",
        pinned_cores=[0, 1],
        storage=f"root:1,data:2.5({bulk}),fast:1.5(fast,{bulk})",
        interfaces=f"eth0:subnet={SUBNET}.0/24,ip={SUBNET}.150;eth1:subnet={PLAIN}.0/24,ip={PLAIN}.20",
    )
    tree = host.shown("whole")
    assert len(lab.fast.volumes()) == 3, "the root disk, the cloud-init seed and the serial log"
    assert len(lab.bulk.volumes()) == 2
    assert await host.used(lab.bulk.pool_id) == 4 * 10**9
    assert await host.used(lab.fast.pool_id) == 10**9
    serials = [disk.findtext("serial") for disk in tree.iterfind("devices/disk[@device='disk']")]
    assert serials == [disk["serial"] for disk in machine["physicalblockdevice_set"]]
    assert [pin.get("cpuset") for pin in tree.iterfind("cputune/vcpupin")] == ["0", "1"]
    assert nics_of(tree) == [
        ("network", {"network": lab.network.name}),
        ("bridge", {"bridge": lab.bridge}),
    ]
    macs = [mac.get("address") for mac in tree.iterfind("devices/interface/mac")]
    assert lab.network.hosts() == [{"mac": macs[0], "ip": f"{SUBNET}.150"}]
    assert (await host.cloud_init_nics("whole"))["eth1"]["addresses"] == [f"{PLAIN}.20/24"]
    await host.remove(machine)
    assert lab.residue() == NOTHING
    assert await host.used(lab.bulk.pool_id) == 0


async def test_every_interface_constraint_finds_its_source(lab: LibvirtLab, host: LibvirtHost) -> None:
    await host.deployment.post("spaces/", name="dmz")
    await host.deployment.put(f"fabrics/{host.fabric}/vlans/101/", space="dmz")
    active = lab.fast.connection.listNetworks()  # the machine's default network may be active
    bridge = ("bridge", {"bridge": lab.bridge})
    expected = {
        "eth0:space=dmz": bridge,
        "0:vid=101,type=bridge": bridge,
        f"mgmt:fabric={host.fabric},not_name=eth3": bridge,
        f"eth0:vlan=id:{host.vlan_id},mode=unconfigured": bridge,
        f"a-rather-long-label:subnet_cidr={PLAIN}.0/24": bridge,
        f"eth7:not_space=dmz,subnet={SUBNET}.0/24": ("network", {"network": lab.network.name}),
        f"eth0:name={lab.bridge}": bridge,
        "": ("network", {"network": "default" if "default" in active else lab.network.name}),
    }
    for number, (text, attached) in enumerate(expected.items()):
        machine = await host.compose(f"m{number}", **({"interfaces": text} if text else {}))
        tree = host.shown(f"m{number}")
        assert nics_of(tree) == [attached], text
        drives = tree.findall("devices/disk[@device='cdrom']")
        assert len(drives) == ("unconfigured" in text), "a seed only if needed"
        if drives:
            assert await host.cloud_init_nics(f"m{number}") == {}, "the NIC must not be configured"
        await host.remove(machine)
    assert lab.residue() == NOTHING


async def test_impossible_requests_name_fields_and_change_nothing(lab: LibvirtLab, host: LibvirtHost) -> None:
    taken = f"{SUBNET}.160"
    first = await host.compose("first", pinned_cores=[0], interfaces=f"eth0:ip={taken}")
    before = lab.residue()
    wrong: tuple[tuple[str, dict[str, Any]], ...] = (
        ("interfaces", {"interfaces": f"eth0:ip={taken}"}),
        ("interfaces", {"interfaces": f"eth0:ip={SUBNET}.1"}),
        ("interfaces", {"interfaces": "eth0:ip=198.51.100.7"}),
        ("pinned_cores", {"pinned_cores": [4095]}),
        ("storage", {"storage": "1.2.3"}),
    )
    for field, request in wrong:
        with pytest.raises(InvalidRequest) as rejected:
            await host.compose("no", **request)
        assert list(rejected.value.fields) == [field], request
    with pytest.raises(InnkeeperError, match="core 0 is already pinned by"):
        await host.compose("no", pinned_cores=[0])
    lab.network.enter("52:54:00:1a:00:77", f"{SUBNET}.177")  # without Innkeeper's knowledge
    with pytest.raises(InnkeeperError, match="52:54:00:1a:00:77"):
        await host.compose("no", interfaces=f"eth0:ip={SUBNET}.177")
    lab.network.take_away("52:54:00:1a:00:77", f"{SUBNET}.177")
    assert lab.residue() == before
    await host.remove(first)
    again = await host.compose("again", pinned_cores=[0], interfaces=f"eth0:ip={taken}")
    assert again["status_name"] == "Ready"
    await host.remove(again)
    assert lab.residue() == NOTHING


async def test_an_inactive_default_pool_stays_the_default_until_another_is_chosen(
    lab: LibvirtLab, host: LibvirtHost
) -> None:
    await host.deployment.put(f"vm-hosts/{host.host_id}/", default_storage_pool=lab.fast.pool_id)
    lab.fast.pool.destroy()
    try:
        await host.deployment.post(f"vm-hosts/{host.host_id}/", op="refresh")
        (default,) = [pool for pool in await host.pools() if pool["default"]]
        assert (default["id"], default["status"]) == (lab.fast.pool_id, "inactive")
        await host.deployment.put(f"vm-hosts/{host.host_id}/", default_storage_pool=lab.bulk.pool_id)
        machine = await host.compose("next")
        assert len(lab.bulk.volumes()) == 2, "the root disk and the serial log"
        await host.remove(machine)
    finally:
        lab.fast.pool.create()


@pytest.mark.usefixtures("pages")
async def test_huge_pages_back_the_machine_and_are_claimed(host: LibvirtHost) -> None:
    machine = await host.compose("huge", hugepages_backed="true", pin_cores=1)
    (page,) = host.shown("huge").iterfind("memoryBacking/hugepages/page")
    assert page.attrib == {"size": str(HUGE_PAGE_KIB), "unit": "KiB"}
    assert [memory.get("nodeset") for memory in host.shown("huge").iterfind("numatune/memory")] == ["0"]
    await host.deployment.post(f"vm-hosts/{host.host_id}/", op="refresh")
    nodes = await host.deployment.get(f"vm-hosts/{host.host_id}/", op="numa")
    held = sum(pages["used_by_ours"] for node in nodes for pages in node["memory"]["hugepages"])
    assert held == 1024 * 1024 // HUGE_PAGE_KIB
    with pytest.raises(InnkeeperError, match="huge pages"):
        await host.compose("more", hugepages_backed="true")
    await host.remove(machine)


async def test_libvirt_gets_other_pins_while_the_machine_is_off(host: LibvirtHost) -> None:
    machine = await host.compose("bound", pinned_cores=[1], storage="root:1", memory=1024)
    api, path = host.deployment, f"machines/{machine['system_id']}/"
    await api.post(path, op="resize", cores=2)
    pins = [(pin.get("vcpu"), pin.get("cpuset")) for pin in host.shown("bound").iterfind("cputune/vcpupin")]
    assert (pins, host.shown("bound").findtext("vcpu")) == ([("0", "0"), ("1", "1")], "2")
    await api.post(path, op="power_on")
    with pytest.raises(InnkeeperError, match="is not off, and has pinned cores"):
        await api.post(path, op="resize", cores=1)
    await api.post(path, op="power_off", stop_mode="hard")
    await api.post(path, op="resize", pin_cores=0, cores=1)
    assert (host.shown("bound").find("cputune"), host.shown("bound").findtext("vcpu")) == (None, "1")
    await api.post(f"vm-hosts/{host.host_id}/", op="refresh")
    assert await api.discrepancies() == []

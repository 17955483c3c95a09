"""Constraints as people write them, from the API down to the real QEMU: checked by what libvirt itself shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest
from common.marks import seed_name
from common.values import Mark
from tests.installation import Installation, installed
from tests.lab.cloud_init_image import cloud_init_files
from tests.lab.host_setup import HUGE_PAGE_KIB, host_bridge, huge_pages
from tests.lab.lab_host import LabHost
from tests.lab.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.lab.needs import why_no_huge_pages, why_no_libvirt

PLAIN = "10.254.10"  # the subnet of a bridge of which libvirt tells nothing


@frozen(kw_only=True)
class Ground:
    """The real libvirt with two storage pools, a network of its own and a bridge of the server."""

    lab: LabHost
    bulk: LabHost
    network: LabNetwork
    bridge: str

    def made(self) -> tuple[set[str], set[str], set[str], list[dict[str, str]]]:
        return self.lab.names(), self.lab.volumes(), self.bulk.volumes(), self.network.hosts()


NOTHING: tuple[set[str], set[str], set[str], list[dict[str, str]]] = (set(), set(), set(), [])


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    if (why := why_no_libvirt()) is not None:
        pytest.skip(why)
    folders = [tmp_path / name for name in ("fast", "bulk")]
    for folder in folders:
        folder.mkdir()
    lab, bulk = (LabHost(folder, prefix="ikcon") for folder in folders)
    try:
        with lab_network(lab.connection) as network, host_bridge(f"{PLAIN}.1/24") as bridge:
            yield Ground(lab=lab, bulk=bulk, network=network, bridge=bridge)
    finally:
        lab.close()
        bulk.close()


@frozen(kw_only=True)
class Inn:
    """An installation with this libvirt as its one host, whose plain bridge is said to be on a VLAN of its own."""

    innkeeper: Installation
    ground: Ground
    host_id: int
    vlan_id: int
    fabric: str

    async def compose(self, name: str, **fields: Any) -> Any:
        wanted = {"memory": 1024, "storage": "1", **fields}
        hostname = f"{self.ground.lab.prefix}{name}"
        made = await self.innkeeper.compose(self.host_id, hostname=hostname, **wanted)
        return await self.innkeeper.get(f"machines/{made['system_id']}/")

    async def remove(self, machine: Any) -> None:
        await self.innkeeper.delete(f"machines/{machine['system_id']}/")

    def shown(self, name: str) -> ET.Element:
        """As `virsh dumpxml` shows it."""
        return self.ground.lab.tree(f"{self.ground.lab.prefix}{name}")

    async def told(self, name: str) -> Any:
        """The cards of which the guest is told by cloud-init."""
        async with self.innkeeper.region.parts.database.connection() as db:
            installation = await db.fetchval("select id from installation")
        machine = UUID(self.shown(name).findtext("uuid"))
        image = seed_name(Mark(installation_id=installation, machine_id=machine))
        found = await asyncio.to_thread(cloud_init_files, self.ground.lab.pool_folder / image)
        return found["network-config"]["ethernets"]

    async def used(self, pool_id: str) -> int:
        host = await self.innkeeper.get(f"vm-hosts/{self.host_id}/")
        return next(int(pool["used"]) for pool in host["storage_pools"] if pool["id"] == pool_id)


@asynccontextmanager
async def opened(folder: Path, database_url: str, ground: Ground) -> AsyncIterator[Inn]:
    async with installed(folder, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.post("vm-hosts/", type="virsh", power_address="qemu:///system", name="lab")
        path = f"vm-hosts/{host['id']}/"
        ratios = {"cpu_over_commit_ratio": 10, "memory_over_commit_ratio": 10}
        await innkeeper.put(path, default_storage_pool=ground.lab.pool_id, default_macvlan_mode="vepa", **ratios)
        fabric = await innkeeper.post("fabrics/", name="yard")
        vlan = await innkeeper.post(f"fabrics/{fabric['id']}/vlans/", vid=101, name="front")
        await innkeeper.post("subnets/", cidr=f"{PLAIN}.0/24", vlan=vlan["id"])
        node = f"nodes/{host['host']['system_id']}/interfaces/"
        bridge = next(one for one in await innkeeper.get(node) if one["name"] == ground.bridge)
        await innkeeper.put(f"{node}{bridge['id']}/", vlan=vlan["id"])
        yield Inn(innkeeper=innkeeper, ground=ground, host_id=host["id"], vlan_id=vlan["id"], fabric=fabric["name"])


def cards(tree: ET.Element) -> list[tuple[str | None, dict[str, str]]]:
    """The type and source of each."""
    found = []
    for card in tree.iterfind("devices/interface"):
        source = card.find("source")
        found.append((card.get("type"), {} if source is None else dict(source.attrib)))
    return found


async def test_disks_cards_addresses_and_pins_are_in_libvirt_as_they_were_asked_for(
    tmp_path: Path, database_url: str, ground: Ground
) -> None:
    async with opened(tmp_path, database_url, ground) as inn:
        bulk = f"{ground.bulk.prefix}pool"
        machine = await inn.compose(
            "whole",
            pinned_cores=[0, 1],
            storage=f"root:1,data:2.5({bulk}),fast:1.5(fast,{bulk})",
            interfaces=f"eth0:subnet={SUBNET}.0/24,ip={SUBNET}.150;eth1:subnet={PLAIN}.0/24,ip={PLAIN}.20",
        )
        tree = inn.shown("whole")
        assert len(ground.lab.volumes()) == 2, "the root disk, and the image for cloud-init beside it"
        assert len(ground.bulk.volumes()) == 2
        assert await inn.used(ground.bulk.pool_id) == 4 * 10**9
        assert await inn.used(ground.lab.pool_id) == 10**9
        serials = [disk.findtext("serial") for disk in tree.iterfind("devices/disk[@device='disk']")]
        assert serials == [disk["serial"] for disk in machine["physicalblockdevice_set"]]
        assert [pin.get("cpuset") for pin in tree.iterfind("cputune/vcpupin")] == ["0", "1"]
        assert cards(tree) == [
            ("network", {"network": ground.network.name}),
            ("bridge", {"bridge": ground.bridge}),
        ]
        macs = [mac.get("address") for mac in tree.iterfind("devices/interface/mac")]
        assert ground.network.hosts() == [{"mac": macs[0], "ip": f"{SUBNET}.150"}]
        assert (await inn.told("whole"))["eth1"]["addresses"] == [f"{PLAIN}.20/24"]
        await inn.remove(machine)
        assert ground.made() == NOTHING
        assert await inn.used(ground.bulk.pool_id) == 0


async def test_each_form_of_interface_constraint_finds_its_attachment(
    tmp_path: Path, database_url: str, ground: Ground
) -> None:
    async with opened(tmp_path, database_url, ground) as inn:
        await inn.innkeeper.post("spaces/", name="dmz")
        await inn.innkeeper.put(f"fabrics/{inn.fabric}/vlans/101/", space="dmz")
        found = await inn.innkeeper.get(f"vm-hosts/{inn.host_id}/")
        port = next(port["name"] for card in found["network_cards"] for port in card["ports"])
        active = ground.lab.connection.listNetworks()  # others may have started the machine's own
        bridge = ("bridge", {"bridge": ground.bridge})
        asked = {
            "eth0:space=dmz": bridge,
            "0:vid=101,type=bridge": bridge,
            f"mgmt:fabric={inn.fabric},not_name=eth3": bridge,
            f"eth0:vlan=id:{inn.vlan_id},mode=unconfigured": bridge,
            f"a-rather-long-label:subnet_cidr={PLAIN}.0/24": bridge,
            f"eth7:not_space=dmz,subnet={SUBNET}.0/24": ("network", {"network": ground.network.name}),
            f"eth0:name={port}": ("direct", {"dev": port, "mode": "vepa"}),
            "": ("network", {"network": "default" if "default" in active else ground.network.name}),
        }
        for number, (text, attached) in enumerate(asked.items()):
            machine = await inn.compose(f"m{number}", **({"interfaces": text} if text else {}))
            tree = inn.shown(f"m{number}")
            assert cards(tree) == [attached], text
            drives = tree.findall("devices/disk[@device='cdrom']")
            assert len(drives) == ("unconfigured" in text), "an image only where there is something to tell"
            if drives:
                assert await inn.told(f"m{number}") == {}, "the card is not to be configured"
            await inn.remove(machine)
        assert ground.made() == NOTHING


async def test_what_cannot_be_is_refused_by_field_and_leaves_libvirt_as_it_was(
    tmp_path: Path, database_url: str, ground: Ground
) -> None:
    async with opened(tmp_path, database_url, ground) as inn:
        taken = f"{SUBNET}.160"
        first = await inn.compose("first", pinned_cores=[0], interfaces=f"eth0:ip={taken}")
        before = ground.made()
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (
            ("interfaces", {"interfaces": f"eth0:ip={taken}"}),
            ("interfaces", {"interfaces": f"eth0:ip={SUBNET}.1"}),
            ("interfaces", {"interfaces": "eth0:ip=198.51.100.7"}),
            ("pinned_cores", {"pinned_cores": [4095]}),
            ("storage", {"storage": "1.2.3"}),
        )
        for field, asked in wrong:
            with pytest.raises(InvalidRequest) as refused:
                await inn.compose("no", **asked)
            assert list(refused.value.fields) == [field], asked
        with pytest.raises(InnkeeperError, match="pinned cores"):
            await inn.compose("no", pinned_cores=[0])
        ground.network.enter("52:54:00:1a:00:77", f"{SUBNET}.177")  # behind our back
        with pytest.raises(InnkeeperError, match="52:54:00:1a:00:77"):
            await inn.compose("no", interfaces=f"eth0:ip={SUBNET}.177")
        ground.network.take_away("52:54:00:1a:00:77", f"{SUBNET}.177")
        assert ground.made() == before
        await inn.remove(first)
        again = await inn.compose("again", pinned_cores=[0], interfaces=f"eth0:ip={taken}")
        assert again["status_name"] == "Ready"
        await inn.remove(again)
        assert ground.made() == NOTHING


async def test_when_the_default_storage_pool_is_gone_the_next_one_is_the_default(
    tmp_path: Path, database_url: str, ground: Ground
) -> None:
    async with opened(tmp_path, database_url, ground) as inn:
        ground.lab.pool.destroy()
        await inn.innkeeper.post(f"vm-hosts/{inn.host_id}/", op="refresh")
        host = await inn.innkeeper.get(f"vm-hosts/{inn.host_id}/")
        (default,) = [pool["id"] for pool in host["storage_pools"] if pool["default"]]
        assert default == next(pool["id"] for pool in host["storage_pools"])
        await inn.innkeeper.put(f"vm-hosts/{inn.host_id}/", default_storage_pool=ground.bulk.pool_id)
        machine = await inn.compose("next")
        assert len(ground.bulk.volumes()) == 1
        await inn.remove(machine)
        ground.lab.pool.create()


async def test_a_machine_of_huge_pages_is_backed_by_them_and_its_pages_are_claimed(
    tmp_path: Path, database_url: str, ground: Ground
) -> None:
    if (why := why_no_huge_pages()) is not None:
        pytest.skip(why)
    with huge_pages(640):
        async with opened(tmp_path, database_url, ground) as inn:
            machine = await inn.compose("huge", hugepages_backed="true", pin_cores=1)
            (page,) = inn.shown("huge").iterfind("memoryBacking/hugepages/page")
            assert page.attrib == {"size": str(HUGE_PAGE_KIB), "unit": "KiB"}
            assert [memory.get("nodeset") for memory in inn.shown("huge").iterfind("numatune/memory")] == ["0"]
            await inn.innkeeper.post(f"vm-hosts/{inn.host_id}/", op="refresh")
            nodes = await inn.innkeeper.get(f"vm-hosts/{inn.host_id}/", op="numa")
            held = sum(pages["used_by_ours"] for node in nodes for pages in node["memory"]["hugepages"])
            assert held == 1024 * 1024 // HUGE_PAGE_KIB
            with pytest.raises(InnkeeperError, match="huge pages"):
                await inn.compose("more", hugepages_backed="true")
            await inn.remove(machine)

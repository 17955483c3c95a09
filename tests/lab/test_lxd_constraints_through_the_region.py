"""Constraints as people write them, from the API down to a real LXD: checked by what LXD itself shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Interface, ip_interface
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest
from rackd.drivers.lxd import definition
from tests.installation import Installation, installed
from tests.lab.host_setup import HUGE_PAGE_KIB, host_bridge, huge_pages
from tests.lab.lxd_server import LxdServer
from tests.lab.needs import why_no_huge_pages, why_no_lxd_pool

PREFIX = "ikcon-"
PLAIN_SUBNET = "10.254.9.0/24"


@frozen(kw_only=True)
class Inn:
    """An installation with one LXD host: two storage pools more, a bridge of LXD and one of the server itself."""

    innkeeper: Installation
    lxd: LxdServer
    host_id: int
    bulk: str
    ssd: str
    bridge: str
    own: IPv4Interface  # the address of LXD's bridge

    async def compose(self, name: str, **fields: Any) -> Any:
        """The machine, which LXD knows as `PREFIX` and its name."""
        wanted = {"memory": 1024, "storage": "1", **fields}
        made = await self.innkeeper.compose(self.host_id, hostname=f"{PREFIX}{name}", **wanted)
        return await self.innkeeper.get(f"machines/{made['system_id']}/")

    async def shown(self, name: str) -> str:
        return await asyncio.to_thread(self.lxd.lxc, "config", "show", f"{PREFIX}{name}")

    async def devices(self, name: str) -> Any:
        return (await asyncio.to_thread(self.lxd.ask, f"/1.0/instances/{PREFIX}{name}"))["devices"]

    async def told(self, name: str) -> Any:
        """The cards of which the guest is told by cloud-init."""
        found = await asyncio.to_thread(self.lxd.ask, f"/1.0/instances/{PREFIX}{name}")
        return json.loads(found["config"]["cloud-init.network-config"])["ethernets"]

    async def pool(self, name: str) -> Any:
        host = await self.innkeeper.get(f"vm-hosts/{self.host_id}/")
        return next(pool for pool in host["storage_pools"] if pool["name"] == name)

    async def holdings(self) -> tuple[set[Any], set[Any]]:
        return (
            await asyncio.to_thread(self.lxd.instances, PREFIX),
            await asyncio.to_thread(self.lxd.volumes),
        )


@pytest.fixture
def ground(lxd: LxdServer) -> Iterator[tuple[str, str, str]]:
    """Two pools, the second of another kind where that is possible, and a bridge of the server."""
    before = lxd.trusted()
    kind = "btrfs" if why_no_lxd_pool("btrfs") is None else "dir"
    with host_bridge("10.254.9.1/24") as bridge, lxd.pool("dir") as bulk, lxd.pool(kind, size_mib=4096) as ssd:
        yield bulk, ssd, bridge
        lxd.sweep(PREFIX)
    for found in lxd.trusted() - before:
        lxd.ask(f"/1.0/certificates/{found}", method="DELETE")


@asynccontextmanager
async def opened(folder: Path, database_url: str, lxd: LxdServer, ground: tuple[str, str, str]) -> AsyncIterator[Inn]:
    bulk, ssd, bridge = ground
    async with installed(folder, database_url) as innkeeper:
        await innkeeper.start_rack()
        token = await asyncio.to_thread(lxd.token, "innkeeper")
        host = await innkeeper.post("vm-hosts/", type="lxd", power_address=lxd.address, name="inn", password=token)
        told = await asyncio.to_thread(lxd.ask, f"/1.0/networks/{lxd.managed_bridge}")
        own = ip_interface(told["config"]["ipv4.address"])
        assert isinstance(own, IPv4Interface)
        yield Inn(innkeeper=innkeeper, lxd=lxd, host_id=host["id"], bulk=bulk, ssd=ssd, bridge=bridge, own=own)


async def test_disks_cards_addresses_and_pins_are_on_lxd_as_they_were_asked_for(
    tmp_path: Path, database_url: str, lxd: LxdServer, ground: tuple[str, str, str]
) -> None:
    async with opened(tmp_path, database_url, lxd, ground) as inn:
        before = await inn.holdings()
        leased = str(inn.own.network[50])
        machine = await inn.compose(
            "whole",
            pinned_cores=[0, 1],
            storage=f"root:1(default),data:2.5({inn.bulk}),fast:1.5(fast,{inn.ssd})",
            interfaces=f"eth0:subnet={inn.own.network},ip={leased};eth1:subnet={PLAIN_SUBNET},ip=10.254.9.20",
        )
        devices = await inn.devices("whole")
        assert (devices["root"]["pool"], devices["root"]["size"]) == ("default", str(10**9))
        assert [devices[name]["pool"] for name in ("disk1", "disk2")] == [inn.ssd, inn.bulk], "more tags first"
        volume = await asyncio.to_thread(lxd.lxc, "storage", "volume", "show", inn.ssd, devices["disk1"]["source"])
        assert f'size: "{15 * 10**8}"' in volume
        assert devices["eth0"]["network"] == lxd.managed_bridge
        assert devices["eth0"]["ipv4.address"] == leased
        assert (devices["eth1"]["nictype"], devices["eth1"]["parent"]) == ("bridged", inn.bridge)
        assert (await inn.told("whole"))["eth1"]["addresses"] == ["10.254.9.20/24"]
        shown = await inn.shown("whole")
        assert "limits.cpu: 0,1" in shown
        assert f'limits.memory: "{1024**3}"' in shown
        leases = await asyncio.to_thread(lxd.lxc, "network", "list-leases", lxd.managed_bridge, "--format", "csv")
        assert f"{PREFIX}whole,{devices['eth0']['hwaddr']},{leased},STATIC" in leases
        assert [(await inn.pool(name))["used"] for name in (inn.ssd, inn.bulk)] == [15 * 10**8, 25 * 10**8]
        await inn.innkeeper.delete(f"machines/{machine['system_id']}/")
        assert await inn.holdings() == before
        assert [(await inn.pool(name))["used"] for name in (inn.ssd, inn.bulk)] == [0, 0]


async def test_each_form_of_interface_constraint_finds_its_bridge(
    tmp_path: Path, database_url: str, lxd: LxdServer, ground: tuple[str, str, str]
) -> None:
    async with opened(tmp_path, database_url, lxd, ground) as inn:
        api = inn.innkeeper
        subnet = next(one for one in await api.get("subnets/") if one["cidr"] == PLAIN_SUBNET)
        await api.post("spaces/", name="dmz")
        fabric = subnet["vlan"]["fabric"]
        vlan = await api.post(f"fabrics/{fabric}/vlans/", vid=101, name="front", space="dmz")
        await api.put(f"subnets/{subnet['id']}/", vlan=vlan["id"])  # a switch that we do not see tags it
        asked = {
            "space": ("eth0:space=dmz", "eth0"),
            "vid": ("0:vid=101,type=bridge", "eth0"),
            "fabric": (f"mgmt:fabric={fabric},not_name=eth3", "mgmt"),
            "vlan": (f"eth0:vlan=id:{vlan['id']},mode=unconfigured", "eth0"),
            "cidr": (f"a-rather-long-label:subnet_cidr={PLAIN_SUBNET}", None),
            "not": (f"eth7:not_space=dmz,subnet={inn.own.network}", "eth7"),
        }
        for name, (text, card) in asked.items():
            machine = await inn.compose(name, interfaces=text)
            devices = await inn.devices(name)
            ((found, nic),) = [(key, one) for key, one in devices.items() if one["type"] == "nic"]
            assert card in {None, found}
            assert nic.get("parent", nic.get("network")) == (lxd.managed_bridge if name == "not" else inn.bridge), text
            if name == "vlan":
                assert await inn.told(name) == {}, "the card is not to be configured"
            else:
                assert definition.CLOUD_INIT not in devices
            await api.delete(f"machines/{machine['system_id']}/")


async def test_what_cannot_be_is_refused_by_field_and_leaves_lxd_as_it_was(
    tmp_path: Path, database_url: str, lxd: LxdServer, ground: tuple[str, str, str]
) -> None:
    async with opened(tmp_path, database_url, lxd, ground) as inn:
        taken = str(inn.own.network[60])
        first = await inn.compose("first", pinned_cores=[0], interfaces=f"eth0:ip={taken}")
        assert "limits.cpu: 0-0" in await inn.shown("first")
        before = await inn.holdings()
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (
            ("interfaces", {"interfaces": f"eth0:ip={taken}"}),
            ("interfaces", {"interfaces": f"eth0:ip={inn.own.ip}"}),
            ("interfaces", {"interfaces": "eth0:ip=198.51.100.7"}),
            ("interfaces", {"interfaces": "eth0:space=nowhere"}),
            ("interfaces", {"interfaces": "eth0"}),
            ("pinned_cores", {"pinned_cores": [4095]}),
            ("storage", {"storage": "1.2.3"}),
            ("hugepages_backed", {"hugepages_backed": "true", "hugepage_size": 1024}),
        )
        for field, asked in wrong:
            with pytest.raises(InvalidRequest) as refused:
                await inn.compose("no", **asked)
            assert list(refused.value.fields) == [field], asked
        too_much = (await inn.pool(inn.ssd))["total"] // 10**9 + 1
        lacking: tuple[tuple[str, dict[str, Any]], ...] = (
            ("pinned cores", {"pinned_cores": [0]}),
            (inn.ssd, {"storage": f"1,{too_much}({inn.ssd})"}),
            ("virtual functions|interfaces", {"interfaces": f"eth0:subnet={PLAIN_SUBNET},type=physical"}),
        )
        for words, asked in lacking:
            with pytest.raises(InnkeeperError, match=words):
                await inn.compose("no", **asked)
        assert await inn.holdings() == before
        await inn.innkeeper.delete(f"machines/{first['system_id']}/")
        again = await inn.compose("again", pinned_cores=[0], interfaces=f"eth0:ip={taken}")
        assert again["status_name"] == "Ready"


async def test_a_network_that_vanished_since_the_last_look_is_named_and_its_claims_end(
    tmp_path: Path, database_url: str, lxd: LxdServer, ground: tuple[str, str, str]
) -> None:
    name = f"ikn{uuid4().hex[:8]}"
    await asyncio.to_thread(lxd.lxc, "network", "create", name, "ipv4.address=10.254.10.1/24", "ipv6.address=none")
    try:
        async with opened(tmp_path, database_url, lxd, ground) as inn:
            before = await inn.holdings()
            await asyncio.to_thread(lxd.lxc, "network", "delete", name)
            for _ in range(2):  # the address is free again after the first time
                with pytest.raises(InnkeeperError, match=f"no network '{name}'"):
                    await inn.compose("lost", interfaces="eth0:ip=10.254.10.20", storage=f"1,1({inn.bulk})")
            assert await inn.holdings() == before
            assert (await inn.innkeeper.get(f"vm-hosts/{inn.host_id}/"))["used"]["cores"] == 0
            await inn.innkeeper.post(f"vm-hosts/{inn.host_id}/", op="refresh")
            with pytest.raises(InnkeeperError, match="interfaces: eth0 asks for"):
                await inn.compose("lost", interfaces="eth0:ip=10.254.10.20")
    finally:
        if any(one["name"] == name for one in await asyncio.to_thread(lxd.ask, "/1.0/networks?recursion=1")):
            await asyncio.to_thread(lxd.lxc, "network", "delete", name)


async def test_a_machine_of_huge_pages_runs_on_them_and_its_pages_are_claimed(
    tmp_path: Path, database_url: str, lxd: LxdServer, ground: tuple[str, str, str]
) -> None:
    if (why := why_no_huge_pages()) is not None:
        pytest.skip(why)
    with huge_pages(640):
        async with opened(tmp_path, database_url, lxd, ground) as inn:
            machine = await inn.compose("huge", hugepages_backed="true", pin_cores=1)
            assert 'limits.memory.hugepages: "true"' in await inn.shown("huge")
            nodes = await inn.innkeeper.get(f"vm-hosts/{inn.host_id}/", op="numa")
            held = sum(pages["used_by_ours"] for node in nodes for pages in node["memory"]["hugepages"])
            assert held == 1024 * 1024 // HUGE_PAGE_KIB
            with pytest.raises(InnkeeperError, match="huge pages"):
                await inn.compose("more", hugepages_backed="true")
            await inn.innkeeper.post(f"machines/{machine['system_id']}/", op="power_on")
            process = await asyncio.to_thread(lxd.process_of, f"{PREFIX}huge")
            assert "/hugepages/" in (process / "maps").read_text()

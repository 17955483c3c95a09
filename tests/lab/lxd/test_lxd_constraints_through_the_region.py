"""Constraints from the API to real LXD, checked in LXD."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from ipaddress import IPv4Interface, ip_interface
from typing import Any
from uuid import uuid4

import pytest
from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest
from rackd.drivers.lxd.guests import instance_config
from tests.deployment.deployment import Deployment
from tests.lab.servers.host_setup import HUGE_PAGE_KIB, host_bridge
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.servers.needs import why_no_lxd_pool
from tests.lab.support.deployed_host import DeployedHost, add_lxd
from tests.support.waiting import settle

PREFIX = "ikcon-"
PLAIN_SUBNET = "10.254.9.0/24"


@frozen(kw_only=True)
class LxdHost(DeployedHost):
    """One LXD host with two more storage pools, LXD's bridge and one of the server."""

    lxd: LxdServer
    bulk: str
    ssd: str
    bridge: str
    own: IPv4Interface  # the address of LXD's bridge

    async def shown(self, name: str) -> str:
        return await asyncio.to_thread(self.lxd.lxc, "config", "show", f"{PREFIX}{name}")

    async def devices(self, name: str) -> Any:
        return (await asyncio.to_thread(self.lxd.ask, f"/1.0/instances/{PREFIX}{name}"))["devices"]

    async def cloud_init_nics(self, name: str) -> Any:
        """The NICs that cloud-init configures."""
        found = await asyncio.to_thread(self.lxd.ask, f"/1.0/instances/{PREFIX}{name}")
        return json.loads(found["config"]["cloud-init.network-config"])["ethernets"]

    async def pool(self, name: str) -> Any:
        return next(pool for pool in await self.pools() if pool["name"] == name)

    async def holdings(self) -> tuple[set[Any], set[Any]]:
        return (
            await asyncio.to_thread(self.lxd.instances, PREFIX),
            await asyncio.to_thread(self.lxd.volumes),
        )


@pytest.fixture
def networks_and_pools(lxd: LxdServer) -> Iterator[tuple[str, str, str]]:
    """Two pools, the second with another driver if possible, and a bridge of the server."""
    kind = "btrfs" if why_no_lxd_pool("btrfs") is None else "dir"
    pools = lxd.pool("dir"), lxd.pool(kind, size_mib=4096)
    with host_bridge("10.254.9.1/24") as bridge, pools[0] as bulk, pools[1] as ssd, lxd.restored(PREFIX):
        yield bulk, ssd, bridge


@pytest.fixture
def network(lxd: LxdServer) -> Iterator[str]:
    """A network of LXD, which the test may delete."""
    name = f"ikn{uuid4().hex[:8]}"
    lxd.lxc("network", "create", name, "ipv4.address=10.254.10.1/24", "ipv6.address=none")
    yield name
    if any(one["name"] == name for one in lxd.ask("/1.0/networks?recursion=1")):
        lxd.lxc("network", "delete", name)


@pytest.fixture
def host(lxd: LxdServer, networks_and_pools: tuple[str, str, str], innkeeper: Deployment) -> LxdHost:
    return settle(added(innkeeper, lxd, *networks_and_pools))


async def added(innkeeper: Deployment, lxd: LxdServer, bulk: str, ssd: str, bridge: str) -> LxdHost:
    host = await add_lxd(innkeeper, lxd, name="lab")
    network = await asyncio.to_thread(lxd.ask, f"/1.0/networks/{lxd.managed_bridge}")
    own = ip_interface(network["config"]["ipv4.address"])
    assert isinstance(own, IPv4Interface)
    return LxdHost(
        deployment=innkeeper, host_id=host["id"], prefix=PREFIX, lxd=lxd, bulk=bulk, ssd=ssd, bridge=bridge, own=own
    )


async def test_lxd_has_the_requested_disks_nics_and_pins(host: LxdHost) -> None:
    before = await host.holdings()
    leased = str(host.own.network[50])
    machine = await host.compose(
        "whole",
        pinned_cores=[0, 1],
        storage=f"root:1(default),data:2.5({host.bulk}),fast:1.5(fast,{host.ssd})",
        interfaces=f"eth0:subnet={host.own.network},ip={leased};eth1:subnet={PLAIN_SUBNET},ip=10.254.9.20",
    )
    devices = await host.devices("whole")
    assert (devices["root"]["pool"], devices["root"]["size"]) == ("default", str(10**9))
    assert [devices[name]["pool"] for name in ("disk1", "disk2")] == [host.ssd, host.bulk], "more tags first"
    volume = await asyncio.to_thread(host.lxd.lxc, "storage", "volume", "show", host.ssd, devices["disk1"]["source"])
    assert f'size: "{15 * 10**8}"' in volume
    assert devices["eth0"]["network"] == host.lxd.managed_bridge
    assert devices["eth0"]["ipv4.address"] == leased
    assert (devices["eth1"]["nictype"], devices["eth1"]["parent"]) == ("bridged", host.bridge)
    assert (await host.cloud_init_nics("whole"))["eth1"]["addresses"] == ["10.254.9.20/24"]
    shown = await host.shown("whole")
    assert "limits.cpu: 0,1" in shown
    assert f'limits.memory: "{1024**3}"' in shown
    leases = await asyncio.to_thread(host.lxd.lxc, "network", "list-leases", host.lxd.managed_bridge, "--format", "csv")
    assert f"{PREFIX}whole,{devices['eth0']['hwaddr']},{leased},STATIC" in leases
    assert [(await host.pool(name))["used"] for name in (host.ssd, host.bulk)] == [15 * 10**8, 25 * 10**8]
    await host.deployment.delete(f"machines/{machine['system_id']}/")
    assert await host.holdings() == before
    assert [(await host.pool(name))["used"] for name in (host.ssd, host.bulk)] == [0, 0]


async def test_every_interface_constraint_finds_its_bridge(host: LxdHost) -> None:
    api = host.deployment
    subnet = next(one for one in await api.get("subnets/") if one["cidr"] == PLAIN_SUBNET)
    await api.post("spaces/", name="dmz")
    fabric = subnet["vlan"]["fabric"]
    vlan = await api.post(f"fabrics/{fabric}/vlans/", vid=101, name="front", space="dmz")
    await api.put(f"subnets/{subnet['id']}/", vlan=vlan["id"])  # a switch, which Innkeeper does not see, tags it
    expected = {
        "space": ("eth0:space=dmz", "eth0"),
        "vid": ("0:vid=101,type=bridge", "eth0"),
        "fabric": (f"mgmt:fabric={fabric},not_name=eth3", "mgmt"),
        "vlan": (f"eth0:vlan=id:{vlan['id']},mode=unconfigured", "eth0"),
        "cidr": (f"a-rather-long-label:subnet_cidr={PLAIN_SUBNET}", None),
        "not": (f"eth7:not_space=dmz,subnet={host.own.network}", "eth7"),
    }
    for name, (text, nic_name) in expected.items():
        machine = await host.compose(name, interfaces=text)
        devices = await host.devices(name)
        ((found, nic),) = [(key, one) for key, one in devices.items() if one["type"] == "nic"]
        assert nic_name in {None, found}
        assert nic.get("parent", nic.get("network")) == (host.lxd.managed_bridge if name == "not" else host.bridge), (
            text
        )
        if name == "vlan":
            assert await host.cloud_init_nics(name) == {}, "the NIC must not be configured"
        else:
            assert instance_config.CLOUD_INIT not in devices
        await api.delete(f"machines/{machine['system_id']}/")


async def test_impossible_requests_name_fields_and_change_nothing(host: LxdHost) -> None:
    taken = str(host.own.network[60])
    first = await host.compose("first", pinned_cores=[0], interfaces=f"eth0:ip={taken}")
    assert "limits.cpu: 0-0" in await host.shown("first")
    before = await host.holdings()
    wrong: tuple[tuple[str, dict[str, Any]], ...] = (
        ("interfaces", {"interfaces": f"eth0:ip={taken}"}),
        ("interfaces", {"interfaces": f"eth0:ip={host.own.ip}"}),
        ("interfaces", {"interfaces": "eth0:ip=198.51.100.7"}),
        ("interfaces", {"interfaces": "eth0:space=nowhere"}),
        ("interfaces", {"interfaces": "eth0"}),
        ("pinned_cores", {"pinned_cores": [4095]}),
        ("storage", {"storage": "1.2.3"}),
        ("hugepages_backed", {"hugepages_backed": "true", "hugepage_size": 1024}),
    )
    for field, request in wrong:
        with pytest.raises(InvalidRequest) as rejected:
            await host.compose("no", **request)
        assert list(rejected.value.fields) == [field], request
    too_much = (await host.pool(host.ssd))["total"] // 10**9 + 1
    lacking: tuple[tuple[str, dict[str, Any]], ...] = (
        ("core 0 is already pinned by", {"pinned_cores": [0]}),
        (host.ssd, {"storage": f"1,{too_much}({host.ssd})"}),
        ("virtual functions|interfaces", {"interfaces": f"eth0:subnet={PLAIN_SUBNET},type=physical"}),
    )
    for words, request in lacking:
        with pytest.raises(InnkeeperError, match=words):
            await host.compose("no", **request)
    assert await host.holdings() == before
    await host.deployment.delete(f"machines/{first['system_id']}/")
    again = await host.compose("again", pinned_cores=[0], interfaces=f"eth0:ip={taken}")
    assert again["status_name"] == "Ready"


async def test_a_deleted_network_is_named_and_claims_released(network: str, host: LxdHost) -> None:
    before = await host.holdings()
    await asyncio.to_thread(host.lxd.lxc, "network", "delete", network)
    for _ in range(2):  # the address is free again after the first time
        with pytest.raises(InnkeeperError, match=f"no network '{network}'"):
            await host.compose("lost", interfaces="eth0:ip=10.254.10.20", storage=f"1,1({host.bulk})")
    assert await host.holdings() == before
    assert (await host.deployment.get(f"vm-hosts/{host.host_id}/"))["used"]["cores"] == 0
    await host.deployment.post(f"vm-hosts/{host.host_id}/", op="refresh")
    with pytest.raises(InnkeeperError, match="NIC eth0 needs an interface"):
        await host.compose("lost", interfaces="eth0:ip=10.254.10.20")


@pytest.mark.usefixtures("pages")
async def test_huge_pages_back_the_machine_and_are_claimed(host: LxdHost) -> None:
    machine = await host.compose("huge", hugepages_backed="true", pin_cores=1)
    assert 'limits.memory.hugepages: "true"' in await host.shown("huge")
    nodes = await host.deployment.get(f"vm-hosts/{host.host_id}/", op="numa")
    held = sum(pages["used_by_ours"] for node in nodes for pages in node["memory"]["hugepages"])
    assert held == 1024 * 1024 // HUGE_PAGE_KIB
    with pytest.raises(InnkeeperError, match="huge pages"):
        await host.compose("more", hugepages_backed="true")
    await host.deployment.post(f"machines/{machine['system_id']}/", op="power_on")
    process = await asyncio.to_thread(host.lxd.process_of, f"{PREFIX}huge")
    assert "/hugepages/" in (process / "maps").read_text()


async def test_lxd_gets_other_pins_while_the_machine_is_off(host: LxdHost) -> None:
    machine = await host.compose("bound", pinned_cores=[1], storage="root:1", memory=1024)
    api, path = host.deployment, f"machines/{machine['system_id']}/"
    await api.post(path, op="resize", cores=2)
    assert "limits.cpu: 0,1" in await host.shown("bound")
    await api.post(path, op="power_on")
    with pytest.raises(InnkeeperError, match="is not off, and has pinned cores"):
        await api.post(path, op="resize", cores=1)
    await api.post(path, op="power_off", stop_mode="hard")
    await api.post(path, op="resize", pin_cores=0, cores=1)
    assert 'limits.cpu: "1"' in await host.shown("bound")
    await api.post(f"vm-hosts/{host.host_id}/", op="refresh")
    assert await api.discrepancies() == []

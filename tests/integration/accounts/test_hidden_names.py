"""What has an address, a MAC address or a core is named only to those who may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import frozen

from tests.deployment.deployment import Deployment
from tests.integration.machines.test_devices import interface_of, register
from tests.integration.networks.test_nic_links import Nic, allocated
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user, own
from tests.support.rejections import outcomes

OTHER = "hidden"  # the hostname of a machine in a resource pool in which ann has no role
DEVICE_MAC, NEW_MAC = "52:54:00:aa:00:01", "52:54:00:aa:00:02"
CLAIMED, OF_DEVICE, KEPT, SEEN, OF_HOST = (f"10.1.0.{number}" for number in (20, 21, 22, 23, 24))
_KEPT = """
    insert into ip_address (subnet_id, address, machine_id)
    select s.id, $1::inet, m.id from subnet s, machine m where s.cidr >> $1::inet and m.hostname = $2
"""
# Settled later than any refresh begins, which would find the guest off and without the address.
_ON = "update machine set power_state = 'on', settled_at = now() + interval '1 hour' where hostname = $1"
_SEEN = "insert into seen_address (nic_id, address) select n.id, $1::inet from machine_nic n where n.mac_address = $2"
# An event, such as the start of a host's watch, makes it due soon, but only a second after its last refresh.
_NO_REFRESH = (
    "update vm_host_schedule set next_refresh_at = now() + interval '1 h', refreshed_at = now() + interval '1 h'"
)
_OF_HOST = """
    insert into host_interface_address (interface_id, subnet_id, address)
    select i.id, s.id, $1::inet from host_interface i join vm_host h on h.id = i.host_id and h.name = $2, subnet s
     where s.cidr >> $1::inet and not exists (select from host_interface_address a where a.address = $1::inet)
     order by i.id limit 1
"""


@frozen(kw_only=True)
class Site:
    """Ann owns the machine of `nic` and its device; the machine OTHER and the host `secret` are hidden from her."""

    nic: Nic
    device: Any
    other_mac: str
    host_id: int

    def static(self, sender: Deployment, address: str) -> Awaitable[Any]:
        return sender.post(self.nic.path, op="link_subnet", mode="STATIC", subnet="10.1.0.0/24", ip_address=address)

    def of_device(self, sender: Deployment, address: str) -> Awaitable[Any]:
        path = interface_of(self.device)
        return sender.post(path, op="link_subnet", mode="STATIC", subnet="10.1.0.0/24", ip_address=address)

    def compose(self, sender: Deployment, address: str) -> Awaitable[Any]:
        nics = f"eth0:ip={address}"
        return sender.post(f"vm-hosts/{self.host_id}/", op="compose", cores=1, memory=1024, interfaces=nics)

    def mac(self, sender: Deployment, mac_address: str) -> Awaitable[Any]:
        return sender.put(interface_of(self.device), mac_address=mac_address)


async def site(innkeeper: Deployment) -> tuple[Site, Deployment]:
    """With the deployment of ann."""
    await innkeeper.post("resourcepools/", name="others")
    other = await allocated(innkeeper, OTHER)
    await other.link("STATIC", ip_address=CLAIMED)
    others_device = await register(innkeeper, OTHER, "hidden-box", DEVICE_MAC)
    of_device = interface_of(others_device)
    await innkeeper.post(of_device, op="link_subnet", mode="STATIC", subnet="10.1.0.0/24", ip_address=OF_DEVICE)
    (mac,) = [one["mac_address"] for one in await innkeeper.get(f"nodes/{other.system_id}/interfaces/")]
    await innkeeper.put(f"machines/{other.system_id}/", pool="others")
    await sql(innkeeper, _KEPT, KEPT, OTHER)
    await sql(innkeeper, _ON, OTHER)
    await sql(innkeeper, _SEEN, SEEN, mac)
    host = await innkeeper.add_simulated("hidden-host", cores=4, networks="elsewhere:10.9.0.0/24")
    await innkeeper.put(f"vm-hosts/{host['id']}/", pool="others")
    await sql(innkeeper, _NO_REFRESH)
    nic = await allocated(innkeeper, "web")
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, nic.system_id, "ann")
    device = await register(ann, nic.system_id, "box", NEW_MAC)
    (of_web,) = [one["id"] for one in await innkeeper.get("vm-hosts/") if one["name"] != "hidden-host"]
    return Site(nic=nic, device=device, other_mac=mac, host_id=of_web), ann


async def test_the_holder_of_an_address_is_named_to_those_who_may_see_it(innkeeper: Deployment) -> None:
    found, ann = await site(innkeeper)
    requests: tuple[Callable[[Deployment, str], Awaitable[Any]], ...] = (found.static, found.of_device, found.compose)
    for address, (named, unnamed) in {
        CLAIMED: (f"belongs to machine {OTHER}", "belongs to another machine"),
        OF_DEVICE: (f"belongs to machine {OTHER} (its device hidden-box)", "belongs to another machine"),
        KEPT: (f"is kept for machine {OTHER}", "is kept for another machine"),
        SEEN: (f"is in use by machine {OTHER}", "is in use by another machine"),
        OF_HOST: ("belongs to VM host hidden-host", "belongs to another VM host"),
    }.items():
        for request in requests:
            await sql(innkeeper, _OF_HOST, OF_HOST, "hidden-host")  # a refresh removes it
            (to_admin,) = await outcomes([request(innkeeper, address)])
            (to_ann,) = await outcomes([request(ann, address)])
            assert f"{address} {named}" in to_admin
            assert f"{address} {unnamed}" in to_ann
            assert "hidden" not in to_ann


async def test_the_holder_of_a_mac_address_is_named_to_those_who_may_see_it(innkeeper: Deployment) -> None:
    found, ann = await site(innkeeper)
    for mac, (named, unnamed) in {
        found.other_mac: (f"machine {OTHER}", "another machine"),
        DEVICE_MAC: ("device hidden-box", "another device"),
    }.items():
        (to_admin,) = await outcomes([found.mac(innkeeper, mac)])
        (to_ann,) = await outcomes([found.mac(ann, mac)])
        (new,) = await outcomes([register(ann, found.nic.system_id, "new", mac)])
        assert to_admin == f"400: mac_address: {mac} is that of {named}."
        assert (to_ann, new) == (
            f"400: mac_address: {mac} is that of {unnamed}.",
            f"400: mac_addresses: {mac} is that of {unnamed}.",
        )


@pytest.mark.parametrize(("pool", "by"), [("default", " by pinned"), ("others", "")])
async def test_a_pinned_machine_of_another_pool_is_not_named(innkeeper: Deployment, pool: str, by: str) -> None:
    await innkeeper.post("resourcepools/", name="others")
    host = await innkeeper.add_simulated(cores=8, numa_nodes=2)
    machine = await innkeeper.compose(host["id"], pinned_cores=[2], memory=1024, hostname="pinned")
    await innkeeper.put(f"machines/{machine['system_id']}/", pool=pool)
    (answer,) = await outcomes([innkeeper.compose(host["id"], pinned_cores=[2], memory=1024)])
    assert answer.rstrip(".").endswith(f"core 2 is already pinned{by}")

"""A NIC that its host puts into another VLAN than its network is bound to that VLAN."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.discovery_runs import apply, discover


async def test_a_nic_follows_its_own_vlan_and_its_network_again(innkeeper: Deployment) -> None:
    host_id = (await innkeeper.add_simulated())["id"]
    machine = await innkeeper.compose(host_id, memory=1024, hostname="mine")
    async with innkeeper.region.components.database.connection() as db:
        await db.execute("update machine_nic set subnet_id = null")  # as of an adopted machine: nobody chose a subnet

    async def vlan() -> Any:
        (nic,) = (await innkeeper.get(f"machines/{machine['system_id']}/"))["interface_set"]
        return nic["vlan"]

    of_network = await vlan()
    tagged = await innkeeper.post(f"fabrics/{of_network['fabric_id']}/vlans/", vid=20, name="twenty")
    found = await discover(innkeeper, host_id)

    async def bound(**changes: Any) -> Any:
        (guest,) = found.guests
        (nic,) = guest.nics
        await apply(innkeeper, host_id, evolve(found, guests=(evolve(guest, nics=(evolve(nic, **changes),)),)))
        return await vlan()

    assert (await bound(own_vlan=True, vid=20))["id"] == tagged["id"]
    assert [one["hostname"] for one in await innkeeper.get(f"machines/?vlans={tagged['id']}")] == ["mine"]
    assert await bound(own_vlan=True, vid=None) is None
    assert await bound(own_vlan=True, vid=99) is None
    assert (await bound(own_vlan=False))["id"] == of_network["id"]

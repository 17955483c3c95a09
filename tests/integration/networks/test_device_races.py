"""Requests for devices and DNS names while another transaction changes the same: they answer as after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import pytest

from common.errors import DatabaseUnavailable
from regiond.db.pool import Database
from tests.deployment.deployment import Deployment
from tests.integration.machines.test_devices import MAC, interface_of, register
from tests.integration.networks.test_nic_links import allocated, subnet
from tests.postgresql.database import fetchval
from tests.support.rejections import outcomes
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

TAKEN = "52:54:00:aa:00:02"
DEVICE = (
    "insert into device (system_id, hostname, parent_id) select 'other1', $1, id from machine where hostname = 'db'"
)
DEVICE_NIC = (
    "insert into device_nic (device_id, name, mac_address) select id, 'eth9', $1 from device where hostname = 'first'"
)
# Only the request: a refresh of a host may wait too.
_WAITING = """
    select count(*) from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock'
       and query ~ '(device|device_nic|dns_domain)\\M|insert into machine|set hostname|from subnet .* for update'
"""
_NO_DOMAIN = "delete from dns_domain where name = $1"


class Other:
    """Another transaction, which is open until `answer` has seen the request wait for it."""

    def __init__(self, innkeeper: Deployment) -> None:
        self.database: Database = innkeeper.region.components.database

    async def answer(
        self, attempt: Coroutine[Any, Any, Any], statement: str, *values: object, then: str | None = None
    ) -> str:
        """What the request answers that is sent after `statement` and waits for its commit; `then` is the last one."""
        request: asyncio.Future[list[str]] | None = None
        try:
            async with self.database.transaction() as db:
                await db.execute(statement, *values)
                request = asyncio.ensure_future(outcomes([attempt]))
                await eventually(lambda: self._waits(request))
                if then is not None:
                    await db.execute(then, MAC)
        finally:
            if request is not None:
                (found,) = await request
        return found

    async def _waits(self, request: asyncio.Future[Any]) -> bool:
        """Or it has been answered without."""
        return request.done() or await fetchval(self.database, _WAITING) > 0


async def two_devices(innkeeper: Deployment) -> dict[str, Any]:
    """`first` is on the machine db, `box` on web."""
    await allocated(innkeeper, "db")
    await allocated(innkeeper, "web")
    return {
        "first": await register(innkeeper, "db", "first", "52:54:00:aa:00:09"),
        "box": await register(innkeeper, "web", "box", "52:54:00:aa:00:08"),
    }


Requests = dict[str, Callable[[Deployment, Any], Coroutine[Any, Any, Any]]]
OF_A_MAC: Requests = {
    "create": lambda innkeeper, _: register(innkeeper, "web", "new", TAKEN),
    "add": lambda innkeeper, box: innkeeper.post(
        f"nodes/{box['system_id']}/interfaces/", op="create_physical", mac_address=TAKEN
    ),
    "change": lambda innkeeper, box: innkeeper.put(interface_of(box), mac_address=TAKEN),
}
OF_A_NAME: Requests = {
    "create": lambda innkeeper, _: register(innkeeper, "web", "taken", MAC),
    "rename": lambda innkeeper, _: innkeeper.put("devices/box/", hostname="taken"),
}
OF_A_DOMAIN: Requests = {
    "create by name": lambda innkeeper, _: innkeeper.post("dnsresources/", name="www", domain="going.test"),
    "create by fqdn": lambda innkeeper, _: innkeeper.post("dnsresources/", fqdn="www.going.test"),
    "move": lambda innkeeper, name: innkeeper.put(f"dnsresources/{name['id']}/", domain="going.test"),
}


@pytest.mark.parametrize("request_", OF_A_MAC.values(), ids=OF_A_MAC)
async def test_a_mac_address_that_is_being_taken(innkeeper: Deployment, request_: Any) -> None:
    devices = await two_devices(innkeeper)
    found = await Other(innkeeper).answer(request_(innkeeper, devices["box"]), DEVICE_NIC, TAKEN)
    field = "mac_addresses" if request_ is OF_A_MAC["create"] else "mac_address"
    assert found == f"400: {field}: {TAKEN} is that of another machine or device."


async def test_mac_addresses_that_are_taken_in_another_order(innkeeper: Deployment) -> None:
    """A deadlock: the request is repeated, and finds the address taken."""
    await two_devices(innkeeper)
    found = ""
    while not found:
        attempt = innkeeper.post("devices/", parent="web", hostname="new", mac_addresses=f"{MAC},{TAKEN}")
        try:
            found = await Other(innkeeper).answer(attempt, DEVICE_NIC.replace("eth9", "eth8"), TAKEN, then=DEVICE_NIC)
        except DatabaseUnavailable as error:
            if not isinstance(error.__cause__, asyncpg.DeadlockDetectedError):
                raise
            # It began to wait a second after the request: that was not aborted.
            await innkeeper.delete("devices/new/")
    assert found == f"400: mac_addresses: {MAC} is that of device first."
    assert len(await innkeeper.get("devices/")) == 2


@pytest.mark.parametrize("request_", OF_A_NAME.values(), ids=OF_A_NAME)
async def test_a_hostname_that_is_being_taken(innkeeper: Deployment, request_: Any) -> None:
    devices = await two_devices(innkeeper)
    found = await Other(innkeeper).answer(request_(innkeeper, devices["box"]), DEVICE, "taken")
    assert found == '400: hostname: Node with hostname "taken" already exists'


async def test_a_vlan_or_a_subnet_that_is_being_deleted(innkeeper: Deployment) -> None:
    other, path = Other(innkeeper), interface_of((await two_devices(innkeeper))["box"])
    of_subnet = await subnet(innkeeper)
    linked = innkeeper.post(path, op="link_subnet", mode="DHCP", subnet=of_subnet["id"])
    found = await other.answer(linked, "delete from subnet where id = $1", of_subnet["id"])
    assert found == "409: The subnet 10.1.0.0/24 was just deleted."
    vlan_id = of_subnet["vlan"]["id"]
    found = await other.answer(innkeeper.put(path, vlan=vlan_id), "delete from vlan where id = $1", vlan_id)
    assert found == f"400: vlan: There is no VLAN {vlan_id}."


async def test_a_subnet_of_a_machines_link_that_is_being_deleted(innkeeper: Deployment) -> None:
    nic, of_subnet = await allocated(innkeeper), await subnet(innkeeper)
    found = await Other(innkeeper).answer(nic.link("DHCP"), "delete from subnet where id = $1", of_subnet["id"])
    assert found == "409: The subnet 10.1.0.0/24 was just deleted."


@pytest.mark.parametrize("request_", OF_A_DOMAIN.values(), ids=OF_A_DOMAIN)
async def test_a_domain_that_is_being_deleted(innkeeper: Deployment, request_: Any) -> None:
    """The answer is that of a request after the deletion."""
    name = await innkeeper.post("dnsresources/", fqdn="old.maas")
    await innkeeper.post("domains/", name="going.test")
    found = await Other(innkeeper).answer(request_(innkeeper, name), _NO_DOMAIN, "going.test")
    assert found.startswith("400: ")
    assert [found] == await outcomes([request_(innkeeper, name)])

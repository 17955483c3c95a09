"""A hostname or MAC address is that of one machine or device, also when both are given it at the same time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.arrivals.test_detached_devices import remove_host
from tests.integration.machines.test_devices import MAC, interface_of, register
from tests.integration.networks.test_device_races import DEVICE, DEVICE_NIC, TAKEN, Other, two_devices
from tests.integration.networks.test_nic_links import NETWORKS, Nic, allocated, ready
from tests.integration.support.adoption import adopt, refresh
from tests.integration.support.adoption import rows as on_host
from tests.integration.support.tables import sql

pytestmark = pytest.mark.database

_MACHINE = "update machine set hostname = $1 where hostname = 'db'"
_MACHINE_NIC = (
    "insert into machine_nic (machine_id, index, name, mac_address, kind) "
    "select id, 7, 'eth7', $1, 'network' from machine where hostname = 'db'"
)
_FIRST_NIC_HAS_THE_MAC_OF_A_DEVICE = f"""
    create sequence composed_nics;
    create function choose_mac_address() returns trigger language plpgsql as $$
    begin
        if nextval('composed_nics') = 1 then
            new.mac_address := '{MAC}';
        end if;
        return new;
    end $$;
    create trigger choose_mac_address before insert on machine_nic for each row execute function choose_mac_address();
"""

Request = Callable[[Deployment, Any], Coroutine[Any, Any, Any]]


async def host_of(innkeeper: Deployment) -> Any:
    (host,) = await innkeeper.get("vm-hosts/")
    return host


async def compose(innkeeper: Deployment, _: Any) -> Any:
    return await innkeeper.compose((await host_of(innkeeper))["id"], hostname="taken", cores=1, memory=1024)


async def rename_machine(innkeeper: Deployment, _: Any) -> Any:
    return await innkeeper.put("machines/web/", hostname="taken")


async def adopt_guest(innkeeper: Deployment, _: Any) -> Any:
    return await adopt(innkeeper, await host_of(innkeeper), guests="foreign-0001", hostname="taken")


async def create_device(innkeeper: Deployment, _: Any) -> Any:
    return await register(innkeeper, "web", "taken", TAKEN)


async def rename_device(innkeeper: Deployment, _: Any) -> Any:
    return await innkeeper.put("devices/box/", hostname="taken")


async def add_device_nic(innkeeper: Deployment, box: Any) -> Any:
    return await innkeeper.post(f"nodes/{box['system_id']}/interfaces/", op="create_physical", mac_address=TAKEN)


async def change_device_nic(innkeeper: Deployment, box: Any) -> Any:
    return await innkeeper.put(interface_of(box), mac_address=TAKEN)


async def holders(innkeeper: Deployment, hostname: str) -> list[str]:
    found = [*await innkeeper.get("machines/"), *await innkeeper.get("devices/")]
    return [one["system_id"] for one in found if one["hostname"] == hostname]


@pytest.mark.parametrize(
    ("request_", "other"),
    [
        (compose, DEVICE),
        (rename_machine, DEVICE),
        (adopt_guest, DEVICE),
        (create_device, _MACHINE),
        (rename_device, _MACHINE),
    ],
)
async def test_a_hostname_that_the_other_kind_is_being_given(
    innkeeper: Deployment, request_: Request, other: str
) -> None:
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS, guests=1)
    devices = await two_devices(innkeeper)
    found = await Other(innkeeper).answer(request_(innkeeper, devices["box"]), other, "taken")
    assert found == '400: hostname: Node with hostname "taken" already exists'
    assert len(await holders(innkeeper, "taken")) == 1


@pytest.mark.parametrize(
    ("request_", "field"),
    [(create_device, "mac_addresses"), (add_device_nic, "mac_address"), (change_device_nic, "mac_address")],
)
async def test_a_mac_address_that_a_machine_is_being_given(
    innkeeper: Deployment, request_: Request, field: str
) -> None:
    devices = await two_devices(innkeeper)
    found = await Other(innkeeper).answer(request_(innkeeper, devices["box"]), _MACHINE_NIC, TAKEN)
    assert found == f"400: {field}: {TAKEN} is that of another machine or device."


@pytest.mark.needs_owner
async def test_a_compose_chooses_another_mac_address_than_that_of_a_device(innkeeper: Deployment) -> None:
    await register(innkeeper, (await allocated(innkeeper)).system_id)
    await innkeeper.region.components.database.in_transaction(lambda db: db.execute(_FIRST_NIC_HAS_THE_MAC_OF_A_DEVICE))
    composed = await (await ready(innkeeper, "db")).machine()
    assert [nic["mac_address"] for nic in composed["interface_set"]] != [MAC]
    assert await sql(innkeeper, "select last_value from composed_nics") == [(2,)]


async def lost_mac_address(innkeeper: Deployment) -> list[tuple[str, str]]:
    return [
        tuple(row)
        for row in await sql(
            innkeeper,
            "select level, message from event where kind = 'device_changed' and message ~ 'was deleted' order by id",
        )
    ]


async def guest_with_mac(innkeeper: Deployment, mac_address: str) -> Any:
    """Adds the host `other`, with a guest that is not ours and has the MAC address."""
    host = await innkeeper.add_simulated("other", cores=8, storage_gb=1000, networks=NETWORKS)
    guest = await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="guest", interfaces="eth0:vid=100")
    await innkeeper.post(f"machines/{guest['system_id']}/", op="forget")
    on_host(innkeeper, "update nic set mac_address = ?", mac_address, name="other")
    return await refresh(innkeeper, host)


async def test_an_adopted_guest_has_its_mac_address_and_a_device_no_more(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    device = await register(innkeeper, nic.system_id)
    await innkeeper.post(interface_of(device), op="link_subnet", mode="STATIC", subnet="10.1.0.0/24")
    host = await guest_with_mac(innkeeper, MAC)
    (adopted,) = await adopt(innkeeper, host, guests="guest")
    machine = await innkeeper.get(f"machines/{adopted['system_id']}/")
    assert [one["mac_address"] for one in machine["interface_set"]] == [MAC]
    assert (await innkeeper.get("devices/box/"))["interface_set"] == []
    lost = f"eth0 of the device box was deleted: a guest on a VM host, the machine guest, has its MAC address {MAC}"
    assert await lost_mac_address(innkeeper) == [("warning", f"{lost}; its address 10.1.0.2 is released")]
    assert await sql(innkeeper, "select 1 from ip_address") == []


async def test_an_adoption_takes_a_mac_address_that_a_device_is_being_given(innkeeper: Deployment) -> None:
    await two_devices(innkeeper)
    host = await guest_with_mac(innkeeper, TAKEN)
    assert await Other(innkeeper).answer(adopt(innkeeper, host, guests="guest"), DEVICE_NIC, TAKEN) == "done"
    (machine,) = await innkeeper.get("machines/?hostname=guest")
    assert ([one["mac_address"] for one in machine["interface_set"]], machine["status_name"]) == ([TAKEN], "Deployed")
    assert [nic["name"] for nic in (await innkeeper.get("devices/first/"))["interface_set"]] == ["eth0"]


async def removed_host(innkeeper: Deployment) -> tuple[Nic, str]:
    """The NIC of `web`, whose host is removed, and its MAC address. The machine db is on another host."""
    nic = await allocated(innkeeper)
    (interface,) = (await nic.machine())["interface_set"]
    await remove_host(innkeeper)
    other = await innkeeper.add_simulated("other", cores=8, storage_gb=1000, networks=NETWORKS)
    db = await innkeeper.compose(other["id"], cores=1, memory=1024, hostname="db", interfaces="eth0:vid=100")
    await innkeeper.post("machines/", op="allocate", system_id=db["system_id"])
    return nic, interface["mac_address"]


async def test_a_returning_machine_has_its_mac_address_and_a_device_no_more(innkeeper: Deployment) -> None:
    nic, mac_address = await removed_host(innkeeper)
    await register(innkeeper, "db", "first", mac_address)
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    machine = await nic.machine()
    assert [one["mac_address"] for one in machine["interface_set"]] == [mac_address]
    assert (await innkeeper.get("devices/first/"))["interface_set"] == []
    assert len(await lost_mac_address(innkeeper)) == 1


@pytest.mark.parametrize("what", ["hostname", "MAC address"])
async def test_a_refresh_does_not_fail_when_a_device_is_being_given_the_same(innkeeper: Deployment, what: str) -> None:
    """It leaves the machine to the next refresh."""
    nic, mac_address = await removed_host(innkeeper)
    await register(innkeeper, "db", "first")
    statement, value = (DEVICE, "web") if what == "hostname" else (DEVICE_NIC, mac_address)
    adding = innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    assert await Other(innkeeper).answer(adding, statement, value) == "done"
    (host,) = [one for one in await innkeeper.get("vm-hosts/") if one["name"] == "sim"]
    await refresh(innkeeper, host)
    machine = await nic.machine()
    assert machine["hostname"] == (f"web-{nic.system_id}" if what == "hostname" else "web")
    assert [one["mac_address"] for one in machine["interface_set"]] == [mac_address]
    assert await sql(innkeeper, "select 1 from device_nic where mac_address = $1", mac_address) == []

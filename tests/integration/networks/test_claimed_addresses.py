"""Static addresses: what prevents a claim, and that one machine gets each address."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import Busy, InvalidRequest, WrongState
from common.guests.guest_spec import NicAddress
from regiond.db.pool import Database
from regiond.machines.core.wanted_nics import resolve_nics
from regiond.networks.ipam import service as ipam_service
from regiond.networks.model import SubnetChange
from regiond.placement.interface_parser import parse_interfaces
from tests.integration.support.network_fixtures import ADMIN, NetworkSetup, bridge

pytestmark = pytest.mark.database


@pytest.fixture
def setup(database: Database) -> NetworkSetup:
    return NetworkSetup(database)


async def assign(setup: NetworkSetup, subnet_id: int, machine: tuple[int, int]) -> None:
    """Claims 10.1.0.9 in the subnet for a machine and its NIC."""
    async with setup.database.transaction() as db:
        await ipam_service.claim_static_address(
            db, subnet_id=subnet_id, address="10.1.0.9", machine_id=machine[0], nic_id=machine[1]
        )


async def test_a_machine_may_request_its_own_address(setup: NetworkSetup) -> None:
    """A rescheduled compose still has its address."""
    await setup.discover(await setup.host("one"), bridge())
    await setup.claim("web-1", "10.1.0.20")
    (holder,) = (row[0] for row in await setup.fetch("select machine_id from ip_address"))
    nics = parse_interfaces("eth0:ip=10.1.0.20")
    async with setup.database.connection() as db:
        assert (await resolve_nics(db, nics, machine_id=holder))[0].conditions
        with pytest.raises(InvalidRequest, match=r"10.1.0.20 belongs to machine web-1"):
            await resolve_nics(db, nics, caller=ADMIN)


async def test_a_subnet_cannot_shrink_below_claimed_addresses(setup: NetworkSetup) -> None:
    await setup.discover(await setup.host("one"), bridge())
    await setup.claim("web-1", "10.1.0.20")
    await setup.claim("web-2", "10.1.0.220")
    with pytest.raises(InvalidRequest, match=r"1 of 2 claimed addresses are not in 10.1.0.0/25: 10.1.0.220 by web-2"):
        await setup.networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(cidr="10.1.0.0/25"))
    wider = await setup.networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(cidr="10.1.0.0/16"))
    assert wider.name == "10.1.0.0/16", "a default name follows the CIDR"
    used = await setup.networks.used_addresses("10.1.0.0/16")
    assert [(str(one.address), one.machine) for one in used] == [("10.1.0.20", "web-1"), ("10.1.0.220", "web-2")]


async def test_a_taken_address_is_rejected_with_its_holder(setup: NetworkSetup) -> None:
    with pytest.raises(InvalidRequest, match=r"None of the 0 known subnets contains 10.1.0.20\."):
        await setup.check("10.1.0.20")
    await setup.discover(await setup.host("one"), bridge(gateway="10.1.0.254", dhcp_ranges=("10.1.0.2-10.1.0.199",)))
    create = setup.networks.create_range
    await create(ADMIN, subnet=None, type="reserved", start_ip="10.1.0.30", end_ip="10.1.0.50", comment="printers")
    await setup.claim("web-1", "10.1.0.20")
    reasons = {
        "10.1.0.0": "the network address of the subnet 10.1.0.0/24",
        "10.1.0.255": "the broadcast address",
        "10.1.0.254": "the gateway",
        "10.1.0.1": "belongs to VM host one",
        "10.1.0.30": r"in the reserved range 10.1.0.30-10.1.0.50 \(printers\)",
        "10.1.0.20": "belongs to machine web-1",
        "10.2.0.1": "None of the 1 known subnets",
        "10.1.0": "is not an IP address",
        "fe80::1%eth0": "has a zone",
    }
    for ip, reason in reasons.items():
        with pytest.raises(InvalidRequest, match=reason) as rejected:
            await setup.check(ip)
        assert list(rejected.value.fields) == ["interfaces"]
    with pytest.raises(InvalidRequest, match="Overlaps the reserved range"):
        await create(ADMIN, subnet=None, type="dynamic", start_ip="10.1.0.50", end_ip="10.1.0.60")
    await setup.claim("web-2", "10.1.0.200")
    with pytest.raises(InvalidRequest, match=r"10.1.0.200 belongs to machine web-2"):
        await create(ADMIN, subnet=None, type="dynamic", start_ip="10.1.0.190", end_ip="10.1.0.229")


async def test_the_smallest_subnet_with_the_address_is_used(setup: NetworkSetup) -> None:
    await setup.networks.create_subnet(ADMIN, SubnetChange(cidr="10.0.0.0/8"))
    inner = await setup.networks.create_subnet(
        ADMIN, SubnetChange(cidr="10.1.0.0/24", gateway_ip="10.1.0.1", dns_servers=("10.1.0.2", "fd00::1"))
    )
    assert await setup.check("10.1.0.20") == inner.id
    async with setup.database.connection() as db:
        address = await ipam_service.guest_nic_address(db, inner.id, "10.1.0.20")
    assert address == NicAddress(
        address="10.1.0.20", prefix_length=24, gateway="10.1.0.1", dns_servers=("10.1.0.2", "fd00::1")
    )


async def test_one_machine_has_an_address_in_all_subnets(setup: NetworkSetup) -> None:
    networks = setup.networks
    await networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/16", gateway_ip="10.1.0.1"))
    await setup.claim("web-1", "10.1.0.9")
    await networks.create_range(
        ADMIN, subnet=None, type="reserved", start_ip="10.1.0.30", end_ip="10.1.0.50", comment="printers"
    )
    inner = await networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24"))
    for ip, reason in {
        "10.1.0.9": "belongs to machine web-1", "10.1.0.30": "printers",
        "10.1.0.1": "the gateway of the subnet 10.1.0.0/16",
    }.items():  # fmt: skip
        with pytest.raises(InvalidRequest, match=reason):
            await setup.check(ip)
    with pytest.raises(WrongState, match="was just claimed by another machine"):
        await assign(setup, inner.id, await setup.machine("web-2"))


async def test_concurrent_claims_of_an_address_have_one_winner(setup: NetworkSetup) -> None:
    await setup.networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24"))
    (subnet,) = await setup.networks.subnets()
    machines = [await setup.machine(f"web-{number}") for number in range(4)]

    attempts = (assign(setup, subnet.id, machine) for machine in machines)
    results = [error and str(error) for error in await asyncio.gather(*attempts, return_exceptions=True)]
    winner = results.index(None)
    assert results.count("10.1.0.9 was just claimed by another machine.") == 3
    await setup.execute("delete from machine where id = $1", machines[winner][0])
    await setup.check("10.1.0.9")


async def test_a_subnet_in_use_by_a_compose_cannot_be_deleted(setup: NetworkSetup) -> None:
    subnet = await setup.networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24"))
    machine_id, nic_id = await setup.machine("web-1")
    async with setup.database.transaction() as db:
        await ipam_service.claim_static_address(
            db, subnet_id=subnet.id, address="10.1.0.9", machine_id=machine_id, nic_id=nic_id
        )
        with pytest.raises(Busy):
            await setup.networks.delete_subnet(ADMIN, "10.1.0.0/24")
    with pytest.raises(InvalidRequest, match=r"10.1.0.9 by web-1"):
        await setup.networks.delete_subnet(ADMIN, "10.1.0.0/24")
    with pytest.raises(WrongState, match="was just deleted"):
        await assign(setup, 0, (machine_id, nic_id))

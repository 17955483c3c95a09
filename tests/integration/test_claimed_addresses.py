"""Addresses of networks: who has them, who is refused them, and that one machine gets each."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import Busy, InvalidRequest, WrongState
from common.values import NicAddress
from regiond.db.pool import Database
from regiond.machines.model import ComposeRequest
from regiond.machines.wishes import resolved, wish_of
from regiond.networks import addresses
from regiond.networks.model import SubnetChange
from tests.integration.network_ground import ADMIN, Ground, bridge


@pytest.fixture
def ground(database: Database) -> Ground:
    return Ground(database)


async def test_an_address_is_no_obstacle_to_the_machine_that_has_it(ground: Ground) -> None:
    """Its host cannot be reached, and the next one is looked for: all that it asks for is still its own."""
    await ground.look(await ground.host("one"), bridge())
    await ground.claim("web-1", "10.1.0.20")
    (holder,) = (row[0] for row in await ground.fetch("select machine_id from ip_address"))
    wish = wish_of(ComposeRequest(interfaces="eth0:ip=10.1.0.20"))
    async with ground.database.connection() as db:
        assert (await resolved(db, wish, machine_id=holder)).nics[0].conditions
        with pytest.raises(InvalidRequest, match=r"10.1.0.20 is machine web-1's"):
            await resolved(db, wish)


async def test_a_subnet_keeps_the_addresses_that_machines_have(ground: Ground) -> None:
    await ground.look(await ground.host("one"), bridge())
    await ground.claim("web-1", "10.1.0.20")
    await ground.claim("web-2", "10.1.0.220")
    with pytest.raises(
        InvalidRequest, match=r"1 of 2 claimed addresses are not in 10.1.0.0/25: 10.1.0.220 is machine web-2's"
    ):
        await ground.networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(cidr="10.1.0.0/25"))
    wider = await ground.networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(cidr="10.1.0.0/16"))
    assert wider.name == "10.1.0.0/16", "nobody has named it"
    used = await ground.networks.used_addresses("10.1.0.0/16")
    assert [(str(one.address), one.machine) for one in used] == [("10.1.0.20", "web-1"), ("10.1.0.220", "web-2")]


async def test_an_address_is_refused_with_who_has_it(ground: Ground) -> None:
    with pytest.raises(InvalidRequest, match=r"no subnet holds 10.1.0.20; subnets known: 0\."):
        await ground.check("10.1.0.20")
    await ground.look(await ground.host("one"), bridge(gateway="10.1.0.254", dhcp_ranges=("10.1.0.2-10.1.0.253",)))
    create = ground.networks.create_range
    await create(ADMIN, subnet=None, type="reserved", start_ip="10.1.0.30", end_ip="10.1.0.50", comment="printers")
    await ground.claim("web-1", "10.1.0.20")
    reasons = {
        "10.1.0.0": "the address of the subnet 10.1.0.0/24 itself",
        "10.1.0.255": "the broadcast address",
        "10.1.0.254": "the gateway",
        "10.1.0.1": "the VM host one's own",
        "10.1.0.30": r"in the reserved range 10.1.0.30-10.1.0.50 \(printers\)",
        "10.1.0.20": "machine web-1's",
        "10.2.0.1": "subnets known: 1",
        "10.1.0": "is no IP address",
        "fe80::1%eth0": "has a zone",
    }
    for ip, reason in reasons.items():
        with pytest.raises(InvalidRequest, match=reason) as refused:
            await ground.check(ip)
        assert list(refused.value.fields) == ["interfaces"]
    with pytest.raises(InvalidRequest, match="It overlaps the reserved range"):
        await create(ADMIN, subnet=None, type="dynamic", start_ip="10.1.0.50", end_ip="10.1.0.60")
    with pytest.raises(InvalidRequest, match=r"10.1.0.20 is machine web-1's"):
        await create(ADMIN, subnet=None, type="dynamic", start_ip="10.1.0.10", end_ip="10.1.0.29")


async def test_the_smallest_subnet_that_holds_an_address_is_meant(ground: Ground) -> None:
    await ground.networks.create_subnet(ADMIN, SubnetChange(cidr="10.0.0.0/8"))
    inner = await ground.networks.create_subnet(
        ADMIN, SubnetChange(cidr="10.1.0.0/24", gateway_ip="10.1.0.1", dns_servers=("10.1.0.2", "fd00::1"))
    )
    assert await ground.check("10.1.0.20") == inner.id
    async with ground.database.connection() as db:
        told = await addresses.nic_address(db, inner.id, "10.1.0.20")
    assert told == NicAddress(
        address="10.1.0.20", prefix_length=24, gateway="10.1.0.1", dns_servers=("10.1.0.2", "fd00::1")
    )


async def test_an_address_is_one_machines_however_many_subnets_hold_it(ground: Ground) -> None:
    networks = ground.networks
    await networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/16", gateway_ip="10.1.0.1"))
    await ground.claim("web-1", "10.1.0.9")
    await networks.create_range(
        ADMIN, subnet=None, type="reserved", start_ip="10.1.0.30", end_ip="10.1.0.50", comment="printers"
    )
    inner = await networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24"))
    for ip, reason in {
        "10.1.0.9": "machine web-1's", "10.1.0.30": "printers", "10.1.0.1": "the gateway of the subnet 10.1.0.0/16",
    }.items():  # fmt: skip
        with pytest.raises(InvalidRequest, match=reason):
            await ground.check(ip)
    machine_id, nic_id = await ground.machine("web-2")
    with pytest.raises(WrongState, match="web-1's"):
        async with ground.database.transaction() as db:
            await addresses.claim(db, subnet_id=inner.id, address="10.1.0.9", machine_id=machine_id, nic_id=nic_id)


async def test_of_many_who_want_one_address_one_gets_it_until_it_goes(ground: Ground) -> None:
    await ground.networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24"))
    (subnet,) = await ground.networks.subnets()
    made = [await ground.machine(f"web-{number}") for number in range(4)]

    async def claim(machine_id: int, nic_id: int) -> str:
        try:
            async with ground.database.transaction() as db:
                await addresses.claim(db, subnet_id=subnet.id, address="10.1.0.9", machine_id=machine_id, nic_id=nic_id)
        except WrongState as error:
            return error.message
        return "got it"

    got = await asyncio.gather(*(claim(*one) for one in made))
    winner = got.index("got it")
    assert got.count(f"10.1.0.9 is machine web-{winner}'s.") == 3
    await ground.execute("delete from machine where id = $1", made[winner][0])
    await ground.check("10.1.0.9")


async def test_a_subnet_that_a_machine_is_just_composed_on_stays(ground: Ground) -> None:
    subnet = await ground.networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24"))
    machine_id, nic_id = await ground.machine("web-1")
    async with ground.database.transaction() as db:
        await addresses.claim(db, subnet_id=subnet.id, address="10.1.0.9", machine_id=machine_id, nic_id=nic_id)
        with pytest.raises(Busy):
            await ground.networks.delete_subnet(ADMIN, "10.1.0.0/24")
    with pytest.raises(InvalidRequest, match=r"10.1.0.9 is machine web-1's"):
        await ground.networks.delete_subnet(ADMIN, "10.1.0.0/24")
    async with ground.database.transaction() as db:
        with pytest.raises(WrongState, match="was deleted just now"):
            await addresses.claim(db, subnet_id=0, address="10.1.0.9", machine_id=machine_id, nic_id=nic_id)

"""Networks in the database: discovered from hosts, corrected by users, available to placement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from ipaddress import ip_address

import pytest
from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest, NotAllowed, NotFound
from common.values import HostNetwork, NicKind
from regiond.db.pool import Database
from regiond.networks.model import RangeChange, SubnetChange, VlanChange
from tests.deployment.deployment import Deployment
from tests.integration.support.network_fixtures import ADMIN, USER, NetworkSetup, bridge, simulated, vlan_of
from tests.postgresql.row_versions import versions
from tests.support.rejections import invalid_fields

pytestmark = pytest.mark.database

DMZ = "dmz:10.1.0.0/24:100"


@pytest.fixture
def setup(database: Database) -> NetworkSetup:
    return NetworkSetup(database)


async def test_discovered_networks_remain_when_their_hosts_are_removed(innkeeper: Deployment) -> None:
    first = await innkeeper.add_simulated("one", networks=f"{DMZ},web:10.2.0.0/24", virtual_functions="1x8")
    await innkeeper.add_simulated("two", networks=DMZ)
    networks = innkeeper.region.components.services.networks
    subnets = await networks.subnets()
    assert [(one.name, one.vlan.vid) for one in subnets] == [("10.1.0.0/24", 100), ("10.2.0.0/24", 0)]
    assert [str(one.cidr) for one in subnets] == [one.name for one in subnets]
    system_id = first["host"]["system_id"]
    found = {one.name: one for one in await networks.interfaces(system_id, caller=None)}
    assert {name: one.vlan and one.vlan.vid for name, one in found.items()} == {"dmz": 100, "web": 0, "sim0": 100}
    assert [link.subnet.name for link in found["dmz"].links] == ["10.1.0.0/24"]
    assert (found["sim0"].kind, found["sim0"].virtual_functions) == ("macvlan", 8)
    assert vlan_of(found["dmz"]).dhcp
    setup = NetworkSetup(innkeeper.region.components.database)
    available = {one.name: one for one in await setup.available(first["id"])}
    assert (available["sim0"].function_port, available["sim0"].functions_free) == ("sim0", 8)
    dmz = available["dmz"]
    assert (dmz.type, dmz.vid, dmz.subnets[0].cidr) == ("bridge", 100, "10.1.0.0/24")
    await innkeeper.delete(f"vm-hosts/{first['id']}/")
    assert [subnet.cidr for subnet in await networks.subnets()] == [subnet.cidr for subnet in subnets]
    with pytest.raises(NotFound):
        await networks.interfaces(system_id, caller=None)


async def test_concurrent_runs_create_one_subnet_per_cidr(setup: NetworkSetup) -> None:
    hosts = [await setup.host(f"host-{number}") for number in range(6)]
    several = [f"n{number}:10.{number}.0.0/24:{number * 10}" for number in range(4)]
    all_facts = [simulated("x", ",".join(several if host % 2 else several[::-1])) for host in hosts]
    await asyncio.gather(*(setup.discover(host, facts) for host, facts in zip(hosts, all_facts, strict=True)))
    assert len(await setup.networks.subnets()) == 4
    assert [fabric.name for fabric in await setup.networks.fabrics()] == [f"fabric-{number}" for number in range(5)]
    assert await setup.fetch("select count(*) from event where kind = 'subnet_found'") == [(4,)]


async def test_an_unchanged_run_writes_nothing_and_takes_no_lock(setup: NetworkSetup, database_url: str) -> None:
    host = await setup.host("one")
    facts = simulated("x", f"{DMZ},web:10.2.0.0/24", virtual_functions="2x4")
    await setup.discover(host, facts)
    before = await versions(database_url)
    async with setup.database.transaction() as db:
        await db.execute("select pg_advisory_xact_lock(hashtextextended('networks', 0))")
        await setup.discover(host, facts)  # blocks if it takes the lock
    assert await versions(database_url) == before


async def test_ranges_and_gateways_follow_the_hosts(setup: NetworkSetup) -> None:
    one, two = await setup.host("one"), await setup.host("two")
    facts = bridge(gateway="10.1.0.254", dhcp_ranges=("10.1.0.100-10.1.0.120",))
    await setup.discover(one, facts)
    await setup.discover(two, facts)
    (subnet,) = await setup.networks.subnets()
    assert subnet.gateway_ip == ip_address("10.1.0.254")
    (discovered,) = await setup.networks.ranges()
    assert (discovered.type, discovered.discovered, str(discovered.start_ip)) == ("dynamic", True, "10.1.0.100")
    with pytest.raises(InvalidRequest, match=r"\(2\): one, two"):
        await setup.networks.delete_range(ADMIN, discovered.id)
    await setup.discover(two, bridge(dhcp_ranges=("10.1.0.200-10.1.0.210",)))
    assert [str(one.start_ip) for one in await setup.networks.ranges()] == ["10.1.0.100", "10.1.0.200"]
    await setup.discover(one, bridge(dhcp_ranges=("10.1.0.200-10.1.0.210",)))
    assert [str(one.start_ip) for one in await setup.networks.ranges()] == ["10.1.0.200"]
    await setup.networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(gateway_ip="10.1.0.7"))
    await setup.discover(one, facts)
    assert (await setup.networks.subnets())[0].gateway_ip == ip_address("10.1.0.7"), "set by a user"


async def test_a_gateway_removed_by_a_user_is_not_discovered_again(setup: NetworkSetup) -> None:
    host_id = await setup.host("one")
    await setup.discover(host_id, bridge(gateway="10.1.0.254"))
    await setup.networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(gateway_ip=""))
    await setup.discover(host_id, bridge(gateway="10.1.0.254"))
    assert (await setup.networks.subnet("10.1.0.0/24")).gateway_ip is None


async def test_an_interface_that_changes_its_kind_keeps_id_tags_and_vlan(setup: NetworkSetup) -> None:
    host_id = await setup.host("one")
    for kind in (NicKind.MACVLAN, NicKind.SRIOV):
        facts = evolve(simulated("one"), networks=(HostNetwork(kind=kind, name="ens1", type="physical"),))
        await setup.discover(host_id, facts)
        interface = await setup.interface()
        if kind is NicKind.MACVLAN:
            macvlan = await setup.networks.update_interface(ADMIN, interface.id, vlan="5001", tags=("fast",))
    assert (interface.id, interface.kind) == (macvlan.id, "sriov")
    assert (interface.tags, interface.vlan) == (("fast",), macvlan.vlan)


async def test_an_absent_interface_is_missing_and_not_available(setup: NetworkSetup) -> None:
    host = await setup.host("one")
    await setup.discover(host, simulated("x", f"{DMZ},web:10.2.0.0/24"))
    await setup.discover(host, simulated("x", "web:10.2.0.0/24"))
    found = {one.name: one.missing_since for one in await setup.networks.interfaces("one")}
    assert found["dmz"] is not None
    assert found["web"] is None
    assert [one.name for one in await setup.available(host)] == ["web"]
    assert len(await setup.networks.subnets()) == 2


async def test_a_vlan_set_by_a_user_stays_until_it_is_cleared(setup: NetworkSetup) -> None:
    host = await setup.host("one")
    await setup.discover(host, bridge())
    discovered = await setup.interface()
    assert not discovered.vlan_set_by_user
    changed = await setup.networks.update_interface(ADMIN, discovered.id, vlan="5001", tags=("uplink", "uplink"))
    assert (vlan_of(changed).id, changed.vlan_set_by_user, changed.tags) == (5001, True, ("uplink",))
    await setup.discover(host, bridge(active=False))
    interface = await setup.interface()
    assert (vlan_of(interface).id, interface.active) == (5001, False)
    cleared = await setup.networks.update_interface(ADMIN, interface.id, vlan="")
    assert (vlan_of(cleared).id, cleared.vlan_set_by_user) == (vlan_of(discovered).id, False)


async def test_users_name_group_and_correct_discovered_networks(setup: NetworkSetup) -> None:
    host, networks = await setup.host("one"), setup.networks
    await setup.discover(host, bridge())
    space = await networks.create_space(ADMIN, name="dmz", description="outside")
    named = await networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(name="front", space="dmz"))
    assert (named.name, named.vlan.space_name) == ("front", "dmz")
    fabric = await networks.create_fabric(ADMIN, name="core", class_type="10g")
    vlan = await networks.create_vlan(ADMIN, "core", VlanChange(vid=200, name="servers", mtu=9000, space=str(space.id)))
    moved = await networks.update_subnet(ADMIN, "front", SubnetChange(fabric="core", vid=200))
    assert moved.vlan == evolve(vlan, dhcp=True)
    await setup.discover(host, bridge())
    found = vlan_of(await setup.interface())
    assert (found.id, found.space_name) == (vlan.id, "dmz")
    (grouped,) = await networks.spaces()
    assert [subnet.name for subnet in grouped.subnets] == ["front"]
    (available,) = await setup.available(host)
    assert (available.fabric_name, available.fabric_class, available.space_name) == ("core", "10g", "dmz")
    assert (available.vlan_name, available.vid) == ("servers", 200)
    assert (await networks.fabric(str(fabric.id))).vlans[1].dhcp
    await networks.delete_space(ADMIN, "dmz")
    assert (await networks.subnet("front")).vlan.space_name is None


async def test_used_and_default_objects_cannot_be_deleted(setup: NetworkSetup) -> None:
    networks = setup.networks
    await setup.discover(await setup.host("one"), bridge())
    await setup.claim("web-1", "10.1.0.20")
    (subnet,) = await networks.subnets()
    vlan = await networks.create_vlan(ADMIN, "fabric-0", VlanChange(vid=5))
    await networks.update_subnet(ADMIN, str(subnet.id), SubnetChange(vlan=str(vlan.id)))
    attempts = (
        (networks.delete_subnet(ADMIN, "10.1.0.0/24"), "machines claim 1 address .10.1.0.20 by web-1"),
        (networks.delete_vlan(ADMIN, vlan.id), "1 subnet .10.1.0.0/24"),
        (networks.delete_vlan(ADMIN, 5001), "untagged VLAN"),
        (networks.delete_fabric(ADMIN, "fabric-0"), "default fabric"),
    )
    for attempt, message in attempts:
        with pytest.raises(InvalidRequest, match=message):
            await attempt
    await setup.execute("delete from machine")
    await networks.delete_subnet(ADMIN, "10.1.0.0/24")
    await networks.delete_vlan(ADMIN, vlan.id)
    await networks.delete_fabric(ADMIN, "fabric-1")
    assert [fabric.name for fabric in await networks.fabrics()] == ["fabric-0"]


async def test_a_range_can_be_changed_and_deleted(setup: NetworkSetup) -> None:
    networks = setup.networks
    subnet = await networks.create_subnet(ADMIN, SubnetChange(cidr="fd00:1::/64", name="six"))
    created = await networks.create_range(
        ADMIN, subnet="six", type="reserved", start_ip="fd00:1::10", end_ip="fd00:1::20", comment="old"
    )
    changed = await networks.update_range(ADMIN, created.id, RangeChange(end_ip="fd00:1::30", comment="new"))
    assert (str(changed.end_ip), changed.comment, changed.subnet) == ("fd00:1::30", "new", subnet)
    assert await networks.ranges("six") == (changed,)
    await networks.delete_range(ADMIN, created.id)
    with pytest.raises(NotFound):
        await networks.range(created.id)


async def test_bad_fields_are_rejected_and_change_nothing(setup: NetworkSetup, database_url: str) -> None:
    networks = setup.networks
    await networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24", name="a"))
    await networks.create_fabric(ADMIN, name="core")
    before = await versions(database_url)
    valid_range = {"subnet": "a", "type": "reserved", "start_ip": "10.1.0.5", "end_ip": "10.1.0.9"}
    valid = SubnetChange(cidr="10.9.0.0/24")
    subnet_changes = (
        ("cidr", SubnetChange()),
        ("cidr", SubnetChange(cidr="10.1.0.1/24")),
        ("cidr", SubnetChange(cidr="10.1.0.0/24")),
        ("vlan", evolve(valid, vlan="9")),
        ("vlan", evolve(valid, vlan="x")),
        ("fabric", evolve(valid, fabric="none")),
        ("vid", evolve(valid, vid=7)),
        ("space", evolve(valid, space="none")),
        ("gateway_ip", evolve(valid, gateway_ip="10.8.0.1")),
        ("gateway_ip", evolve(valid, gateway_ip="x")),
        ("dns_servers", evolve(valid, dns_servers=("1.1",))),
        ("rdns_mode", evolve(valid, rdns_mode=3)),
    )
    invalid: list[tuple[str, Awaitable[object]]] = [
        *((name, networks.create_subnet(ADMIN, change)) for name, change in subnet_changes),
        ("vid", networks.create_vlan(ADMIN, "core", VlanChange())),
        ("vid", networks.create_vlan(ADMIN, "core", VlanChange(vid=4095))),
        ("vid", networks.create_vlan(ADMIN, "core", VlanChange(vid=0))),
        ("vid", networks.update_vlan(ADMIN, 5001, VlanChange(vid=7))),
        ("mtu", networks.create_vlan(ADMIN, "core", VlanChange(vid=9, mtu=100))),
        ("name", networks.create_fabric(ADMIN, name="core")),
        ("name", networks.create_space(ADMIN, name="undefined")),
        ("type", networks.create_range(ADMIN, **{**valid_range, "type": "odd"})),
        ("start_ip", networks.create_range(ADMIN, **{**valid_range, "start_ip": "10.2.0.1"})),
        ("end_ip", networks.create_range(ADMIN, **{**valid_range, "end_ip": "10.1.0.4"})),
        ("subnet", networks.create_range(ADMIN, **{**valid_range, "subnet": "none"})),
    ]
    for name, attempt in invalid:
        assert list(await invalid_fields(attempt)) == [name]
    assert await versions(database_url) == before


async def test_only_admins_change_networks_and_unknown_ones_are_not_found(setup: NetworkSetup) -> None:
    networks = setup.networks
    await networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24", name="same"))
    await networks.create_subnet(ADMIN, SubnetChange(cidr="10.2.0.0/24", name="same"))
    forbidden: tuple[Awaitable[object], ...] = (
        networks.create_fabric(USER, name="x"), networks.delete_vlan(USER, 1), networks.create_space(USER),
        networks.update_subnet(USER, "same", SubnetChange()), networks.delete_range(USER, 1),
        networks.update_interface(USER, 1),
    )  # fmt: skip
    for attempt in forbidden:
        with pytest.raises(NotAllowed):
            await attempt
    unknown: tuple[Awaitable[object], ...] = (
        networks.fabric("x"), networks.vlan(1), networks.subnet("a\0b"), networks.space("1"), networks.range(1),
        networks.interfaces("x"), networks.update_interface(ADMIN, 1),
    )  # fmt: skip
    for missing in unknown:
        with pytest.raises(NotFound):
            await missing
    with pytest.raises(InnkeeperError, match="2 subnets are named 'same'"):
        await networks.subnet("same")

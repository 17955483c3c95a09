"""Networks in the database: learned from hosts, corrected by people, offered to placement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from ipaddress import ip_address
from pathlib import Path

import pytest
from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest, NotAllowed, NotFound
from common.values import HostNetwork, NicKind
from regiond.db.pool import Database
from regiond.networks import offers
from regiond.networks.model import RangeChange, SubnetChange, VlanChange
from tests.installation import installed
from tests.integration.network_ground import ADMIN, USER, Ground, bridge, simulated
from tests.rows import versions

DMZ = "dmz:10.1.0.0/24:100"


@pytest.fixture
def ground(database: Database) -> Ground:
    return Ground(database)


async def test_networks_of_simulated_hosts_are_learned_once_and_stay_when_hosts_go(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        first = await innkeeper.add_simulated("one", networks=f"{DMZ},web:10.2.0.0/24", virtual_functions="1x8")
        await innkeeper.add_simulated("two", networks=DMZ)
        networks = innkeeper.region.parts.services.networks
        subnets = await networks.subnets()
        assert [(str(one.cidr), one.name, one.vlan.vid) for one in subnets] == [
            ("10.1.0.0/24", "10.1.0.0/24", 100),
            ("10.2.0.0/24", "10.2.0.0/24", 0),
        ]
        (system_id,) = [
            host.system_id for host in await innkeeper.region.parts.services.hosts.list() if host.name == "one"
        ]
        found = {one.name: one for one in await networks.interfaces(system_id)}
        assert {name: one.vlan and one.vlan.vid for name, one in found.items()} == {"dmz": 100, "web": 0, "sim0": 100}
        assert [link.subnet.name for link in found["dmz"].links] == ["10.1.0.0/24"]
        assert (found["sim0"].kind, found["sim0"].virtual_functions) == ("macvlan", 8)
        vlan = found["dmz"].vlan
        assert vlan is not None
        assert vlan.dhcp
        async with innkeeper.region.parts.database.connection() as db:
            offered = {one.name: one for one in (await offers.of_hosts(db, [first["id"]]))[first["id"]]}
        assert (offered["sim0"].function_port, offered["sim0"].functions_free) == ("sim0", 8)
        assert (offered["dmz"].type, offered["dmz"].vid, offered["dmz"].subnets[0].cidr) == (
            "bridge",
            100,
            "10.1.0.0/24",
        )
        await innkeeper.delete(f"vm-hosts/{first['id']}/")
        assert [subnet.cidr for subnet in await networks.subnets()] == [subnet.cidr for subnet in subnets]
        with pytest.raises(NotFound):
            await networks.interfaces(system_id)


async def test_looks_at_many_hosts_at_once_make_one_subnet_of_one_cidr(ground: Ground) -> None:
    hosts = [await ground.host(f"host-{number}") for number in range(6)]
    several = [f"n{number}:10.{number}.0.0/24:{number * 10}" for number in range(4)]
    looks = [simulated("x", ",".join(several if host % 2 else several[::-1])) for host in hosts]
    await asyncio.gather(*(ground.look(host, look) for host, look in zip(hosts, looks, strict=True)))
    assert len(await ground.networks.subnets()) == 4
    assert [fabric.name for fabric in await ground.networks.fabrics()] == [f"fabric-{number}" for number in range(5)]
    assert await ground.fetch("select count(*) from event where kind = 'subnet_found'") == [(4,)]


async def test_a_look_without_news_writes_nothing_and_takes_no_lock(ground: Ground, database_url: str) -> None:
    host = await ground.host("one")
    look = simulated("x", f"{DMZ},web:10.2.0.0/24", virtual_functions="2x4")
    await ground.look(host, look)
    before = await versions(database_url)
    async with ground.database.transaction() as db:
        await db.execute("select pg_advisory_xact_lock(hashtextextended('networks', 0))")
        await ground.look(host, look)  # would wait for the lock, and then for nothing
    assert await versions(database_url) == before


async def test_ranges_and_gateways_follow_what_hosts_tell(ground: Ground) -> None:
    one, two = await ground.host("one"), await ground.host("two")
    told = bridge(gateway="10.1.0.254", dhcp_ranges=("10.1.0.100-10.1.0.120",))
    await ground.look(one, told)
    await ground.look(two, told)
    (subnet,) = await ground.networks.subnets()
    assert subnet.gateway_ip == ip_address("10.1.0.254")
    (learned,) = await ground.networks.ranges()
    assert (learned.type, learned.learned, str(learned.start_ip)) == ("dynamic", True, "10.1.0.100")
    with pytest.raises(InvalidRequest, match="2 hosts have it: one, two"):
        await ground.networks.delete_range(ADMIN, learned.id)
    await ground.look(two, bridge(dhcp_ranges=("10.1.0.200-10.1.0.210",)))
    assert [str(one.start_ip) for one in await ground.networks.ranges()] == ["10.1.0.100", "10.1.0.200"]
    await ground.look(one, bridge(dhcp_ranges=("10.1.0.200-10.1.0.210",)))
    assert [str(one.start_ip) for one in await ground.networks.ranges()] == ["10.1.0.200"]
    await ground.networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(gateway_ip="10.1.0.7"))
    await ground.look(one, told)
    assert (await ground.networks.subnets())[0].gateway_ip == ip_address("10.1.0.7"), "a person's word stands"


async def test_a_gateway_that_a_person_took_away_is_not_learned_again(ground: Ground) -> None:
    host_id = await ground.host("one")
    await ground.look(host_id, bridge(gateway="10.1.0.254"))
    await ground.networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(gateway_ip=""))
    await ground.look(host_id, bridge(gateway="10.1.0.254"))
    assert (await ground.networks.subnet("10.1.0.0/24")).gateway_ip is None


async def test_an_interface_of_another_kind_keeps_its_id_its_tags_and_what_people_said(ground: Ground) -> None:
    host_id = await ground.host("one")
    for kind in (NicKind.MACVLAN, NicKind.SRIOV):
        seen = evolve(simulated("one"), networks=(HostNetwork(kind=kind, name="ens1", type="physical"),))
        await ground.look(host_id, seen)
        (interface,) = await ground.networks.interfaces("one")
        if kind is NicKind.MACVLAN:
            was = await ground.networks.update_interface(ADMIN, interface.id, vlan="5001", tags=("fast",))
    assert (interface.id, interface.kind, interface.tags, interface.vlan) == (was.id, "sriov", ("fast",), was.vlan)


async def test_what_is_not_seen_any_more_is_missing_and_not_offered(ground: Ground) -> None:
    host = await ground.host("one")
    await ground.look(host, simulated("x", f"{DMZ},web:10.2.0.0/24"))
    await ground.look(host, simulated("x", "web:10.2.0.0/24"))
    found = {one.name: one.missing_since for one in await ground.networks.interfaces("one")}
    assert found["dmz"] is not None
    assert found["web"] is None
    async with ground.database.connection() as db:
        assert [one.name for one in (await offers.of_hosts(db, [host]))[host]] == ["web"]
    assert len(await ground.networks.subnets()) == 2


async def test_a_persons_choice_of_a_vlan_stays_until_it_is_taken_back(ground: Ground) -> None:
    host = await ground.host("one")
    await ground.look(host, bridge())
    (interface,) = await ground.networks.interfaces("one")
    assert interface.vlan is not None
    assert not interface.vlan_chosen
    learned_id = interface.vlan.id
    changed = await ground.networks.update_interface(ADMIN, interface.id, vlan="5001", tags=("uplink", "uplink"))
    assert changed.vlan is not None
    assert (changed.vlan.id, changed.vlan_chosen, changed.tags) == (5001, True, ("uplink",))
    await ground.look(host, bridge(active=False))
    (kept,) = await ground.networks.interfaces("one")
    assert kept.vlan is not None
    assert (kept.vlan.id, kept.active) == (5001, False)
    taken_back = await ground.networks.update_interface(ADMIN, interface.id, vlan="")
    assert taken_back.vlan is not None
    assert (taken_back.vlan.id, taken_back.vlan_chosen) == (learned_id, False)


async def test_people_name_group_and_correct_what_was_learned(ground: Ground) -> None:
    host, networks = await ground.host("one"), ground.networks
    await ground.look(host, bridge())
    space = await networks.create_space(ADMIN, name="dmz", description="outside")
    named = await networks.update_subnet(ADMIN, "10.1.0.0/24", SubnetChange(name="front", space="dmz"))
    assert (named.name, named.vlan.space_name) == ("front", "dmz")
    fabric = await networks.create_fabric(ADMIN, name="core", class_type="10g")
    vlan = await networks.create_vlan(ADMIN, "core", VlanChange(vid=200, name="servers", mtu=9000, space=str(space.id)))
    moved = await networks.update_subnet(ADMIN, "front", SubnetChange(fabric="core", vid=200))
    assert moved.vlan == evolve(vlan, dhcp=True)
    await ground.look(host, bridge())
    (interface,) = await networks.interfaces("one")
    assert interface.vlan is not None
    assert (interface.vlan.id, interface.vlan.space_name) == (vlan.id, "dmz")
    (grouped,) = await networks.spaces()
    assert [subnet.name for subnet in grouped.subnets] == ["front"]
    async with ground.database.connection() as db:
        (offered,) = (await offers.of_hosts(db, [host]))[host]
    assert (offered.fabric_name, offered.fabric_class, offered.space_name, offered.vlan_name, offered.vid) == (
        "core", "10g", "dmz", "servers", 200,
    )  # fmt: skip
    assert (await networks.fabric(str(fabric.id))).vlans[1].dhcp
    await networks.delete_space(ADMIN, "dmz")
    assert (await networks.subnet("front")).vlan.space_name is None


async def test_what_is_used_or_the_default_cannot_be_deleted(ground: Ground) -> None:
    networks = ground.networks
    await ground.look(await ground.host("one"), bridge())
    await ground.claim("web-1", "10.1.0.20")
    (subnet,) = await networks.subnets()
    vlan = await networks.create_vlan(ADMIN, "fabric-0", VlanChange(vid=5))
    await networks.update_subnet(ADMIN, str(subnet.id), SubnetChange(vlan=str(vlan.id)))
    attempts = (
        (networks.delete_subnet(ADMIN, "10.1.0.0/24"), "1 claimed addresses .10.1.0.20 is machine web-1's"),
        (networks.delete_vlan(ADMIN, vlan.id), "1 subnets .10.1.0.0/24"),
        (networks.delete_vlan(ADMIN, 5001), "default VLAN"),
        (networks.delete_fabric(ADMIN, "fabric-0"), "default fabric"),
    )
    for attempt, message in attempts:
        with pytest.raises(InvalidRequest, match=message):
            await attempt
    await ground.execute("delete from machine")
    await networks.delete_subnet(ADMIN, "10.1.0.0/24")
    await networks.delete_vlan(ADMIN, vlan.id)
    await networks.delete_fabric(ADMIN, "fabric-1")
    assert [fabric.name for fabric in await networks.fabrics()] == ["fabric-0"]


async def test_a_range_is_changed_and_deleted(ground: Ground) -> None:
    networks = ground.networks
    subnet = await networks.create_subnet(ADMIN, SubnetChange(cidr="fd00:1::/64", name="six"))
    made = await networks.create_range(
        ADMIN, subnet="six", type="reserved", start_ip="fd00:1::10", end_ip="fd00:1::20", comment="old"
    )
    changed = await networks.update_range(ADMIN, made.id, RangeChange(end_ip="fd00:1::30", comment="new"))
    assert (str(changed.end_ip), changed.comment, changed.subnet) == ("fd00:1::30", "new", subnet)
    assert await networks.ranges("six") == (changed,)
    await networks.delete_range(ADMIN, made.id)
    with pytest.raises(NotFound):
        await networks.range(made.id)


async def test_bad_fields_are_refused_by_name_and_change_nothing(ground: Ground, database_url: str) -> None:
    networks = ground.networks
    await networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24", name="a"))
    await networks.create_fabric(ADMIN, name="core")
    before = await versions(database_url)
    ranged = {"subnet": "a", "type": "reserved", "start_ip": "10.1.0.5", "end_ip": "10.1.0.9"}
    attempts = {
        "cidr": [SubnetChange(), SubnetChange(cidr="10.1.0.1/24"), SubnetChange(cidr="10.1.0.0/24")],
        "vlan": [SubnetChange(cidr="10.9.0.0/24", vlan="9"), SubnetChange(cidr="10.9.0.0/24", vlan="x")],
        "fabric": [SubnetChange(cidr="10.9.0.0/24", fabric="none")],
        "vid": [SubnetChange(cidr="10.9.0.0/24", vid=7)],
        "space": [SubnetChange(cidr="10.9.0.0/24", space="none")],
        "gateway_ip": [
            SubnetChange(cidr="10.9.0.0/24", gateway_ip="10.8.0.1"),
            SubnetChange(cidr="10.9.0.0/24", gateway_ip="x"),
        ],
        "dns_servers": [SubnetChange(cidr="10.9.0.0/24", dns_servers=("1.1",))],
        "rdns_mode": [SubnetChange(cidr="10.9.0.0/24", rdns_mode=3)],
    }
    wanted: list[tuple[str, Awaitable[object]]] = [
        (name, networks.create_subnet(ADMIN, change)) for name, changes in attempts.items() for change in changes
    ]
    wanted += [
        ("vid", networks.create_vlan(ADMIN, "core", VlanChange())),
        ("vid", networks.create_vlan(ADMIN, "core", VlanChange(vid=4095))),
        ("vid", networks.create_vlan(ADMIN, "core", VlanChange(vid=0))),
        ("vid", networks.update_vlan(ADMIN, 5001, VlanChange(vid=7))),
        ("mtu", networks.create_vlan(ADMIN, "core", VlanChange(vid=9, mtu=100))),
        ("name", networks.create_fabric(ADMIN, name="core")),
        ("name", networks.create_space(ADMIN, name="undefined")),
        ("type", networks.create_range(ADMIN, **{**ranged, "type": "odd"})),
        ("start_ip", networks.create_range(ADMIN, **{**ranged, "start_ip": "10.2.0.1"})),
        ("end_ip", networks.create_range(ADMIN, **{**ranged, "end_ip": "10.1.0.4"})),
        ("subnet", networks.create_range(ADMIN, **{**ranged, "subnet": "none"})),
    ]
    for name, attempt in wanted:
        with pytest.raises(InvalidRequest) as refused:
            await attempt
        assert list(refused.value.fields) == [name]
    assert await versions(database_url) == before


async def test_only_admins_change_networks_and_what_is_none_is_not_found(ground: Ground) -> None:
    networks = ground.networks
    await networks.create_subnet(ADMIN, SubnetChange(cidr="10.1.0.0/24", name="same"))
    await networks.create_subnet(ADMIN, SubnetChange(cidr="10.2.0.0/24", name="same"))
    refused: tuple[Awaitable[object], ...] = (
        networks.create_fabric(USER, name="x"), networks.delete_vlan(USER, 1), networks.create_space(USER),
        networks.update_subnet(USER, "same", SubnetChange()), networks.delete_range(USER, 1),
        networks.update_interface(USER, 1),
    )  # fmt: skip
    for attempt in refused:
        with pytest.raises(NotAllowed):
            await attempt
    unknown: tuple[Awaitable[object], ...] = (
        networks.fabric("x"), networks.vlan(1), networks.subnet("a\0b"), networks.space("1"), networks.range(1),
        networks.interfaces("x"), networks.update_interface(ADMIN, 1),
    )  # fmt: skip
    for missing in unknown:
        with pytest.raises(NotFound):
            await missing
    with pytest.raises(InnkeeperError, match="2 subnets are called 'same'"):
        await networks.subnet("same")

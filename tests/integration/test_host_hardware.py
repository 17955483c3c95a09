"""Cards, GPUs, networks and profiles that a look at a host finds are kept, told, and written only when they are new."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from common.discovery import Discovery
from common.hardware import Gpu, NetworkCard, NetworkPort
from common.values import DriverType, HostNetwork, NicKind, Profile
from regiond.hosts.intake_store import take_in
from tests.installation import Installation, installed
from tests.integration.test_moves import look_at
from tests.rows import versions

CARD = NetworkCard(
    pci_address="0000:3b:00.0",
    vendor="Intel Corporation",
    product="Ethernet Controller X710",
    driver="i40e",
    numa_node=1,
    virtual_functions=64,
    virtual_functions_made=2,
    ports=(NetworkPort(name="ens1f0", mac_address="3c:fd:fe:00:00:01", link=True, speed_mbps=10000),),
)
GPU = Gpu(
    pci_address="0000:86:00.0", vendor="NVIDIA Corporation", product="GA102GL [A40]", driver="nvidia", numa_node=1
)
LAN = HostNetwork(kind=NicKind.NETWORK, name="lan", type="bridge", bridge="lan", dhcp=True, cidrs=("10.1.0.0/24",))
FAST = HostNetwork(kind=NicKind.NETWORK, name="fast", type="sriov", attachable=False)


async def taken_in(innkeeper: Installation, host_id: int, found: Discovery) -> None:
    database = innkeeper.region.parts.database
    async with database.connection() as db:
        began_at = await db.fetchval("select clock_timestamp()")
    await database.in_transaction(lambda db: take_in(db, host_id, DriverType.SIMULATED.value, found, began_at))


async def test_two_projects_of_a_server_share_its_cards_and_see_their_own_networks_and_profiles(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        first, second = [(await innkeeper.add_simulated(name))["id"] for name in ("first", "second")]
        found = await look_at(innkeeper, tmp_path, first)
        server = evolve(found.facts, network_cards=(CARD,), gpus=(GPU,))
        looks = {
            first: evolve(
                found, facts=evolve(server, networks=(LAN, FAST), profiles=(Profile(name="maas", description="Ours"),))
            ),
            second: evolve(found, facts=evolve(server, networks=(), profiles=())),
        }
        for host_id, look in looks.items():
            await taken_in(innkeeper, host_id, look)
        before = await versions(database_url)
        for host_id, look in looks.items():
            await taken_in(innkeeper, host_id, look)
        assert await versions(database_url) == before
        one, other = [await innkeeper.get(f"vm-hosts/{host_id}/") for host_id in looks]
        assert one["network_cards"] == other["network_cards"]
        (card,), (gpu,) = one["network_cards"], other["gpus"]
        assert (card["virtual_functions"], card["virtual_functions_made"]) == (64, 2)
        assert card["ports"] == [
            {"name": "ens1f0", "mac_address": "3c:fd:fe:00:00:01", "link_connected": True, "link_speed": 10000}
        ]
        assert (gpu["vendor"], gpu["driver"], gpu["numa_node"]) == ("NVIDIA Corporation", "nvidia", 1)
        assert [(network["name"], network["attachable"]) for network in one["networks"]] == [
            ("lan", True),
            ("fast", False),
        ]
        assert (one["profiles"], other["networks"]) == ([{"name": "maas", "description": "Ours"}], [])


async def test_a_card_that_was_taken_out_is_told_no_more(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host_id = (await innkeeper.add_simulated())["id"]
        found = await look_at(innkeeper, tmp_path, host_id)
        for cards in ((CARD,), ()):
            await taken_in(innkeeper, host_id, evolve(found, facts=evolve(found.facts, network_cards=cards)))
            told = (await innkeeper.get(f"vm-hosts/{host_id}/"))["network_cards"]
            assert len(told) == len(cards)

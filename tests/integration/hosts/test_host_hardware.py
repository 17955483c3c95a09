"""Network devices, GPUs, networks and profiles of a host are stored, shown, and written only when they change."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.hardware import Gpu, NetworkDevice, NetworkPort
from common.placement_groups import PlacementGroup
from common.values import HostNetwork, NicKind, Profile
from tests.deployment.deployment import Deployment
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.rigs.discovery_runs import apply, discover
from tests.integration.support.web_client import WebClient
from tests.postgresql.row_versions import versions

__all__ = ["client"]

NETWORK_DEVICE = NetworkDevice(
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


@pytest.mark.slow
async def test_two_projects_share_hardware_and_have_their_own_networks(
    innkeeper: Deployment, client: WebClient, database_url: str
) -> None:
    first = (await innkeeper.add_simulated("shared", host_name="first"))["id"]
    second = (await innkeeper.add_simulated("shared", host_name="second", shared=1))["id"]  # two addresses differ
    found = await discover(innkeeper, first)
    server = evolve(found.facts, network_devices=(NETWORK_DEVICE,), gpus=(GPU,))
    profile = Profile(name="maas", description="For VMs")
    group = PlacementGroup(name="web", policy="spread", rigor="strict", instances=2)
    of_first = evolve(server, networks=(LAN, FAST), profiles=(profile,), placement_groups=(group,))
    runs = {
        first: evolve(found, facts=of_first),
        second: evolve(found, facts=evolve(server, networks=(), profiles=())),
    }
    for host_id, run in runs.items():
        await apply(innkeeper, host_id, run)
    before = await versions(database_url)
    for host_id, run in runs.items():
        await apply(innkeeper, host_id, run)
    assert await versions(database_url) == before
    one, other = [await innkeeper.get(f"vm-hosts/{host_id}/") for host_id in runs]
    assert one["network_devices"] == other["network_devices"]
    (device,), (gpu,) = one["network_devices"], other["gpus"]
    assert (device["virtual_functions"], device["virtual_functions_made"]) == (64, 2)
    assert device["ports"] == [
        {"name": "ens1f0", "mac_address": "3c:fd:fe:00:00:01", "link_connected": True, "link_speed": 10000}
    ]
    assert (gpu["vendor"], gpu["driver"], gpu["numa_node"]) == ("NVIDIA Corporation", "nvidia", 1)
    assert {network["name"]: network["attachable"] for network in one["networks"]} == {"lan": True, "fast": False}
    assert (one["profiles"], other["networks"]) == ([{"name": "maas", "description": "For VMs"}], [])
    shown = {"name": "web", "description": "", "policy": "spread", "rigor": "strict", "instances": 2}
    assert (one["placement_groups"], other["placement_groups"]) == ([shown], [])
    pages = [await page(client, f"hosts/{host_id}/resources") for host_id in runs]
    assert ['id="placement-groups"' in text for text in pages] == [True, False]


async def test_a_removed_network_device_is_no_longer_shown(innkeeper: Deployment) -> None:
    host_id = (await innkeeper.add_simulated())["id"]
    found = await discover(innkeeper, host_id)
    for devices in ((NETWORK_DEVICE,), ()):
        await apply(innkeeper, host_id, evolve(found, facts=evolve(found.facts, network_devices=devices)))
        assert len((await innkeeper.get(f"vm-hosts/{host_id}/"))["network_devices"]) == len(devices)

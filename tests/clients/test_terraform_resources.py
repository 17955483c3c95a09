"""Terraform's resources for NICs and disks, and its data sources."""

from __future__ import annotations

import json

from tests.clients.calls import TERRAFORM
from tests.clients.client_host import SIMULATED_SUBNET
from tests.clients.exact_bytes import Gomaasclient
from tests.clients.go_programs import key_of
from tests.clients.recording_proxy import recording
from tests.clients.scenarios.terraform_data import DataSources
from tests.clients.scenarios.terraform_devices import NicsAndDisks
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image

GB = 10**9


async def machine(innkeeper: Deployment) -> str:
    """Returns the system id of `tf-vm`, which has a NIC and two disks."""
    host = await innkeeper.add_simulated(networks=f"lan:{SIMULATED_SUBNET}")
    interfaces = f"eth0:subnet_cidr={SIMULATED_SUBNET}"
    made = await innkeeper.compose(host["id"], hostname="tf-vm", storage="root:8(ssd),1:2", interfaces=interfaces)
    return str(made["system_id"])


async def test_nics_and_disks_are_adopted_and_planned_again(innkeeper: Deployment) -> None:
    await machine(innkeeper)
    async with recording(innkeeper.api.url) as proxy:
        made = NicsAndDisks(Gomaasclient.to(proxy.url, key_of(innkeeper)), "tf-vm", SIMULATED_SUBNET)
        await made.create_interface_physical(name="lan0", tags="uplink,lan")
        await made.update_interface_physical()
        await made.create_interface_link("10.1.0.40")
        await made.update_interface_link()
        await made.create_block_device("sda", 8, "boot", is_boot_device=True)
        planned = await made.plan()
        assert planned["interface"][1:4] == [1500, "lan0", ["lan", "uplink"]]
        assert (planned["link"], planned["disk"][4], planned["disk"][6]) == ("10.1.0.40", ["boot"], [])
        assert await made.plan() == planned
        await made.set_interface_tags("lan", "fast")
        await made.set_disk_tags("ssd", "fast")
        again = await made.plan()
        assert (again["interface"][3], sorted(again["disk"][4])) == (["fast", "lan"], ["fast", "ssd"])
        await made.set_interface_tags()
        await made.set_disk_tags()
        await made.delete_interface_link()
        accepted = tuple(proxy.calls)
        for kept in (await made.delete_interface_physical(), await made.delete_block_device()):
            assert (kept.status, b"first" in kept.body or b"boots from the network" in kept.body) == (409, True)
    TERRAFORM.check(accepted, "NICs and disks")


async def test_nics_and_disks_are_created_and_destroyed(innkeeper: Deployment) -> None:
    system_id = await machine(innkeeper)
    async with recording(innkeeper.api.url) as proxy:
        made = NicsAndDisks(Gomaasclient.to(proxy.url, key_of(innkeeper)), "tf-vm", SIMULATED_SUBNET)
        await made.create_another_interface("52:54:00:99:99:99")
        await made.create_another_block_device("sdc", 5, "data")
        planned = await made.plan_of_disk()
        await made.create_block_device("sdc", 7, "data", is_boot_device=False)  # an update: the disk grows
        assert await made.plan_of_disk() == planned
        found = await innkeeper.get(f"nodes/{system_id}/blockdevices/")
        assert [(disk["name"], disk["size"] // GB) for disk in found] == [("sda", 8), ("sdb", 2), ("sdc", 7)]
        for gone in (await made.delete_interface_physical(), await made.delete_block_device()):
            assert gone.status == 204
    assert len(await innkeeper.get(f"nodes/{system_id}/blockdevices/")) == 2
    assert len(await innkeeper.get(f"nodes/{system_id}/interfaces/")) == 1
    TERRAFORM.check(proxy.calls, "new NICs and disks")


async def test_allocations_find_disks_by_tags_of_terraform(innkeeper: Deployment) -> None:
    system_id = await machine(innkeeper)
    made = NicsAndDisks(Gomaasclient.to(innkeeper.api.url, key_of(innkeeper)), "tf-vm", SIMULATED_SUBNET)
    await made.create_block_device("sdb", 2, "fast", is_boot_device=False)
    found = await innkeeper.post("machines/", op="allocate", storage="root:8(ssd),data:2(fast)")
    assert found["system_id"] == system_id
    events = [event["description"] for event in (await innkeeper.get("events/", op="query"))["events"]]
    assert "Disk 1 of tf-vm has the tag fast" in json.dumps(events)


async def test_data_sources_have_every_field(innkeeper: Deployment) -> None:
    system_id = await machine(innkeeper)
    await add_image(innkeeper, "ubuntu/noble")
    await innkeeper.post("machines/", op="allocate", system_id=system_id)
    device = await innkeeper.post("devices/", hostname="box", parent=system_id, mac_addresses="52:54:00:00:00:21")
    (nic,) = await innkeeper.get(f"nodes/{system_id}/interfaces/")
    (host,) = await innkeeper.get("vm-hosts/")
    async with recording(innkeeper.api.url) as proxy:
        data = DataSources(Gomaasclient.to(proxy.url, key_of(innkeeper)))
        by_name, by_mac, by_id = [await data.machine(one) for one in ("tf-vm", nic["mac_address"], system_id)]
        assert by_name == by_mac == by_id
        assert (by_name[:2], by_name[4:6]) == ([system_id, "amd64/generic"], ["simulated", "Allocated"])
        assert [disk[5:] for disk in by_name[-1]] == [[8 * GB, ["ssd"]], [2 * GB, []]]
        assert await data.machines() == [["tf-vm", system_id]]
        described = await data.network_interface_physical("tf-vm", nic["mac_address"])
        assert described == [nic["id"], nic["mac_address"], 1500, "eth0", [], nic["vlan"]["id"], "physical"]
        assert (await data.vm_host(host["name"]))[7:9] == ["default", "default"]
        subnet = await data.subnet(SIMULATED_SUBNET)
        fabric, vid = subnet[-2:]
        assert (await data.fabric(fabric))[1] == fabric
        assert (await data.vlan(fabric, vid))[-1] == vid
        assert (await data.zone("default"))[1] == (await data.resource_pool("default"))[1] == "default"
        (rack,) = await data.rack_controllers()
        assert await data.rack_controllers("rackControllers/") == [rack]
        assert (await data.rack_controller(rack[0]))[0] == rack[1]
        found = await data.device("box")
        assert (found[0], found[6:8], found[8][0][1]) == (
            device["system_id"], ["maas", "default"], "52:54:00:00:00:21",
        )  # fmt: skip
        assert await data.boot_resources("ubuntu/noble") == [["ubuntu/noble", "amd64/generic"]]
        assert await data.boot_sources() == []
        assert await data.configuration("default_osystem") == "ubuntu"
    TERRAFORM.check(proxy.calls, "data sources")


async def test_keys_are_listed_without_what_terraform_parses(innkeeper: Deployment) -> None:
    """So `maas_api_key` of its provider does not find its key again: `docs/reference/clients.md` says why."""
    data = DataSources(Gomaasclient.to(innkeeper.api.url, key_of(innkeeper)))
    listed = await data.api_keys()
    assert listed.json
    assert all(not {"token", "token_secret"} & set(one) for one in listed.json)
    assert key_of(innkeeper).split(":")[2] not in listed.body.decode()

"""The import from MAAS in a whole deployment: what was MAAS's is here, and guests have our marker and nothing else."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from attrs import evolve

from common.maas.inventory import (
    ApiKey,
    DnsName,
    Domain,
    Fabric,
    Host,
    Inventory,
    IpRange,
    Link,
    Machine,
    Named,
    Nic,
    Origin,
    SourceKind,
    Subnet,
    User,
    Vlan,
)
from common.serialization import to_dict
from innkeeper.http import Api
from innkeeper.request_body import Body
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import guests, markers
from tests.support.rejections import invalid_fields, rejection
from tests.support.waiting import eventually

ADDRESS = "simulated:sim?cores=8&memory_mib=32768&guests=4&networks=front:10.9.0.0/24:209"


def inventory(**changes: Any) -> Inventory:
    """One host with four VMs: deployed, ready, allocated and one that MAAS is just deploying."""

    def machine(number: int, status: int, **more: Any) -> Machine:
        values: dict[str, Any] = {
            "system_id": f"abcde{number}", "hostname": f"vm-{number}", "host_id": "7", "zone": "east", "pool": "web",
            "instance": f"foreign-{number:04}", "status": status, "tags": ("virtual",), **more,
        }  # fmt: skip
        return Machine(**values)

    found = Inventory(
        origin=Origin(kind=SourceKind.DUMP, label="maas.sql", version="3.7", uuid="u-1", name="metal"),
        zones=(Named(id="1", name="default"), Named(id="2", name="east", description="The east wing")),
        pools=(Named(id="0", name="default"), Named(id="1", name="web")),
        tags=(Named(id="1", name="virtual", description="VMs"),),
        spaces=(Named(id="1", name="dmz"),),
        fabrics=(Fabric(id="0", name="fabric-0"), Fabric(id="1", name="rack-1")),
        vlans=(Vlan(id="10", vid=0, fabric="rack-1", name="untagged"),
               Vlan(id="11", vid=77, fabric="rack-1", name="web", space="dmz")),
        subnets=(Subnet(id="5", cidr="10.77.0.0/24", name="web", vlan_id="11", gateway_ip="10.77.0.1"),),
        ranges=(IpRange(id="1", subnet="10.77.0.0/24", type="reserved", start_ip="10.77.0.2", end_ip="10.77.0.9"),),
        domains=(Domain(id="0", name="maas", is_default=True), Domain(id="1", name="example.com")),
        dns_names=(DnsName(id="1", name="www", domain="example.com", addresses=("10.77.0.50",)),),
        users=(
            User(id="1", username="admin", email="root@maas", is_admin=True),
            User(
                id="2", username="ops", email="ops@example.com",
                api_keys=(ApiKey(consumer="a" * 18, token="b" * 18, secret="c" * 32),),
            ),
            User(id="3", username="MAAS"),
        ),
        hosts=(Host(id="7", name="old-kvm", power_type="simulated", power_address=ADDRESS, zone="east", pool="web",
                    tags=("virtual",), cpu_over_commit_ratio=2.0),),
        machines=(
            machine(1, 6, owner="ops", description="the shop", owner_data=(("juju-model", "x"),)),
            machine(2, 4),
            machine(3, 10, owner="ops", locked=True),
            machine(4, 9, owner="ops"),
        ),
    )  # fmt: skip
    return evolve(found, **changes)


async def begin(innkeeper: Deployment, found: Inventory) -> Any:
    packed = gzip.compress(json.dumps(to_dict(found)).encode())
    answer = await innkeeper.api.send("POST", "maas-imports/", body=Body(files={"inventory": packed}))
    return answer.json()


async def plan(innkeeper: Deployment, begun: Any) -> Any:
    return await innkeeper.get(f"maas-imports/{begun['id']}/", op="plan")


def decided(document: Any, **choices: str) -> Any:
    for objects in document["objects"].values():
        for one in objects:
            if one["state"] == "conflict" and not one["choice"]:
                one["choice"] = choices[one["name"]]
    return document


async def apply(innkeeper: Deployment, begun: Any, document: Any) -> Any:
    """Returns the ended operation."""
    body = Body(files={"plan": json.dumps(document).encode()})
    answer = await innkeeper.api.send("POST", f"maas-imports/{begun['id']}/", query=[("op", "apply")], body=body)
    operation_id = answer.json()["id"]

    async def ended() -> bool:
        return (await innkeeper.get(f"operations/{operation_id}/"))["state"] in {"succeeded", "failed", "cancelled"}

    await eventually(ended)
    return await innkeeper.get(f"operations/{operation_id}/")


def states(document: Any, kind: str) -> dict[str, str]:
    return {one["name"]: one["state"] for one in document["objects"][kind]}


@pytest.mark.slow
async def test_what_maas_knew_is_here_afterwards(innkeeper: Deployment) -> None:
    begun = await begin(innkeeper, inventory())
    document = await plan(innkeeper, begun)
    assert states(document, "machines") == {"vm-1": "new", "vm-2": "new", "vm-3": "new", "vm-4": "left_out"}
    assert states(document, "users")["MAAS"] == "left_out"
    operation = await apply(innkeeper, begun, decided(document, admin="same"))
    assert operation["state"] == "succeeded", operation["error"]
    machines = {one["hostname"]: one for one in await innkeeper.get("machines/")}
    assert {name: one["status_name"] for name, one in machines.items()} == {
        "vm-1": "Deployed", "vm-2": "Ready", "vm-3": "Allocated",
    }  # fmt: skip
    shop = machines["vm-1"]
    assert (shop["system_id"], shop["owner"], shop["zone"]["name"], shop["pool"]["name"]) == (
        "abcde1", "ops", "east", "web",
    )  # fmt: skip
    assert (shop["description"], shop["owner_data"]) == ("the shop", {"juju-model": "x"})
    assert shop["tag_names"] == ["virtual"]
    assert (machines["vm-3"]["locked"], machines["vm-2"]["owner"]) == (True, None)
    (host,) = await innkeeper.get("vm-hosts/")
    assert (host["name"], host["zone"]["name"], host["pool"]["name"], host["cpu_over_commit_ratio"]) == (
        "old-kvm", "east", "web", 2.0,
    )  # fmt: skip
    (subnet,) = [one for one in await innkeeper.get("subnets/") if one["cidr"] == "10.77.0.0/24"]
    assert (subnet["vlan"]["vid"], subnet["vlan"]["fabric"], subnet["space"]) == (77, "rack-1", "dmz")
    assert [one["fqdn"] for one in await innkeeper.get("dnsresources/")] == ["www.example.com"]


@pytest.mark.slow
async def test_guests_start_with_their_host_as_before(innkeeper: Deployment) -> None:
    begun = await begin(innkeeper, inventory())
    await apply(innkeeper, begun, decided(await plan(innkeeper, begun), admin="same"))
    shop = await innkeeper.get("machines/abcde1/")
    assert shop["autostart_in_effect"] is None
    assert await innkeeper.discrepancies() == []


@pytest.mark.slow
async def test_a_repeated_import_changes_nothing(innkeeper: Deployment) -> None:
    begun = await begin(innkeeper, inventory())
    document = decided(await plan(innkeeper, begun), admin="same")
    await apply(innkeeper, begun, document)
    before = guests(innkeeper), markers(innkeeper), await innkeeper.get("machines/")
    again = await plan(innkeeper, begun)
    assert {state for kind in again["objects"] for state in states(again, kind).values()} <= {
        "exists", "left_out", "conflict",
    }  # fmt: skip
    operation = await apply(innkeeper, begun, document)
    assert operation["state"] == "succeeded", operation["error"]
    assert (guests(innkeeper), markers(innkeeper), await innkeeper.get("machines/")) == before


@pytest.mark.slow
async def test_clients_go_on_with_their_keys(innkeeper: Deployment) -> None:
    begun = await begin(innkeeper, inventory())
    await apply(innkeeper, begun, decided(await plan(innkeeper, begun), admin="same"))
    client = Api(innkeeper.api.url, f"{'a' * 18}:{'b' * 18}:{'c' * 32}")
    assert (await client.get("users/", op="whoami")).json()["username"] == "ops"
    released = await client.send("POST", "machines/abcde1/", query=[("op", "release")])
    assert released.json()["status_name"] in {"Releasing", "Ready"}


async def test_a_conflict_needs_a_choice(innkeeper: Deployment) -> None:
    begun = await begin(innkeeper, inventory())
    refused = await rejection(apply(innkeeper, begun, await plan(innkeeper, begun)))
    assert "users 1 (admin): There is a user admin here" in refused.message
    assert await innkeeper.get("vm-hosts/") == []


async def test_a_plan_of_before_is_refused(innkeeper: Deployment) -> None:
    begun = await begin(innkeeper, inventory())
    document = decided(await plan(innkeeper, begun), admin="same")
    device = await innkeeper.post("devices/", hostname="vm-1", mac_addresses="52:54:00:00:00:01")
    assert device["hostname"] == "vm-1"
    refused = await rejection(apply(innkeeper, begun, document))
    assert "machines abcde1 (vm-1) was new, and is conflict now" in refused.message


@pytest.mark.slow
async def test_a_vm_that_its_host_does_not_have_is_reported(innkeeper: Deployment) -> None:
    found = inventory()
    lost = Machine(system_id="abcde9", hostname="lost", host_id="7", instance="gone", status=6)
    begun = await begin(innkeeper, evolve(found, machines=(*found.machines, lost)))
    operation = await apply(innkeeper, begun, decided(await plan(innkeeper, begun), admin="same"))
    assert operation["state"] == "failed"
    (failure,) = (await innkeeper.get(f"maas-imports/{begun['id']}/"))["failures"]
    assert (failure["name"], failure["reason"]) == (
        "lost", "old-kvm has no VM gone: it was deleted, or it is in another project.",
    )  # fmt: skip
    assert len(await innkeeper.get("machines/")) == 3


@pytest.mark.slow
async def test_disks_that_maas_made_are_kept_and_listed(innkeeper: Deployment) -> None:
    begun = await begin(innkeeper, inventory())
    await apply(innkeeper, begun, decided(await plan(innkeeper, begun), admin="same"))
    (disk,) = (await innkeeper.get("machines/abcde2/"))["blockdevice_set"]
    assert not disk["foreign"]
    await innkeeper.delete("machines/abcde2/")
    (kept,) = await innkeeper.get("kept-disks/")
    assert (kept["hostname"], kept["size"]) == ("vm-2", disk["size"])


async def test_what_is_no_inventory_is_refused(innkeeper: Deployment) -> None:
    for packed in (b"", b"nothing", gzip.compress(b"{}"), gzip.compress(b"[1")):
        wrong = innkeeper.api.send("POST", "maas-imports/", body=Body(files={"inventory": packed}))
        assert "inventory" in await invalid_fields(wrong)


@pytest.mark.slow
async def test_addresses_stay_with_their_machines(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(host_name="old-kvm", networks="front:10.77.0.0/24:77")
    composed = await innkeeper.compose(host["id"], hostname="made", interfaces="eth0:vid=77")
    mac = (await innkeeper.get(f"machines/{composed['system_id']}/"))["interface_set"][0]["mac_address"]
    await innkeeper.api.send("POST", f"machines/{composed['system_id']}/", query=[("op", "forget")])
    address = (await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters"))["power_address"]
    found = inventory()
    machine = Machine(
        system_id="abcde1", hostname="web", host_id="7", instance="made", status=6, owner="ops",
        nics=(Nic(name="eth0", mac_address=mac, links=(Link(mode="static", subnet="10.77.0.0/24", ip="10.77.0.40"),)),),
    )  # fmt: skip
    begun = await begin(
        innkeeper, evolve(found, hosts=(evolve(found.hosts[0], power_address=address),), machines=(machine,))
    )
    document = decided(await plan(innkeeper, begun), admin="same", web="move")
    operation = await apply(innkeeper, begun, document)
    assert operation["state"] == "succeeded", operation["error"]
    (nic,) = (await innkeeper.get("machines/abcde1/"))["interface_set"]
    assert [(one["mode"], one["ip_address"]) for one in nic["links"]] == [("static", "10.77.0.40")]

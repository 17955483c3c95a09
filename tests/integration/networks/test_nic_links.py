"""Links of machines' NICs: addresses, default gateways, names and tags, from the request to the guest."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from common.errors import InvalidRequest, NotAllowed
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image
from tests.integration.support.tables import rows
from tests.integration.support.users import as_user
from tests.postgresql.database import execute
from tests.support.rejections import invalid_fields, rejection
from tests.support.waiting import eventually

NETWORKS = "dmz:10.1.0.0/24:100,lan:10.2.0.0/24"
FIRST_FREE = "10.1.0.2"  # .1 is the host's


async def subnet(innkeeper: Deployment, cidr: str = "10.1.0.0/24") -> Any:
    (found,) = [one for one in await innkeeper.get("subnets/") if one["cidr"] == cidr]
    return found


class Nic:
    """A NIC of a machine, with requests for it."""

    def __init__(self, innkeeper: Deployment, system_id: str, name: str = "eth0") -> None:
        self.innkeeper = innkeeper
        self.system_id = system_id
        self.name = name

    @property
    def path(self) -> str:
        return f"nodes/{self.system_id}/interfaces/{self.name}/"

    async def do(self, op: str, **fields: Any) -> Any:
        return await self.innkeeper.post(self.path, op=op, **fields)

    async def link(self, mode: str, cidr: str = "10.1.0.0/24", **fields: Any) -> Any:
        return await self.do("link_subnet", mode=mode, subnet=cidr, **fields)

    async def links(self) -> list[tuple[str, str | None]]:
        found = await self.innkeeper.get(self.path)
        return [(link["mode"], link.get("ip_address")) for link in found["links"]]

    async def machine(self) -> Any:
        return await self.innkeeper.get(f"machines/{self.system_id}/")


async def ready(innkeeper: Deployment, hostname: str = "web", **fields: Any) -> Nic:
    """A machine with a NIC in 10.1.0.0/24, on the host that it adds if there is none."""
    hosts = await innkeeper.get("vm-hosts/")
    host = hosts[0] if hosts else await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    wanted = {"interfaces": "eth0:subnet_cidr=10.1.0.0/24", **fields}
    composed = await innkeeper.compose(host["id"], cores=1, memory=1024, hostname=hostname, **wanted)
    return Nic(innkeeper, composed["system_id"])


async def allocated(innkeeper: Deployment, hostname: str = "web", **fields: Any) -> Nic:
    nic = await ready(innkeeper, hostname, **fields)
    await innkeeper.post("machines/", op="allocate", system_id=nic.system_id)
    return nic


async def reaches(nic: Nic, wanted: str) -> Any:
    async def reached() -> bool:
        return bool((await nic.machine())["status_name"] == wanted)

    await eventually(reached)
    return await nic.machine()


def network_config(innkeeper: Deployment) -> Any:
    return json.loads(innkeeper.simulated().network_config_of("web"))["ethernets"]


async def test_a_free_address_is_chosen_and_shown(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    linked = await nic.link("auto", "cidr:10.1.0.0/24")
    (link,) = linked["links"]
    assert (link["mode"], link["ip_address"], link["subnet"]) == ("auto", FIRST_FREE, await subnet(innkeeper))
    assert (await nic.machine())["ip_addresses"] == [FIRST_FREE]
    other = await ready(innkeeper, "other")
    assert (await other.link("AUTO"))["links"][0]["ip_address"] == "10.1.0.3"
    await nic.do("unlink_subnet", id=link["id"])
    assert (await nic.links(), (await nic.machine())["ip_addresses"]) == ([], [])
    assert (await nic.link("STATIC"))["links"][0]["ip_address"] == FIRST_FREE


async def test_an_address_in_use_or_reserved_is_never_chosen(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    of_subnet = await subnet(innkeeper)
    await innkeeper.put(f"subnets/{of_subnet['id']}/", gateway_ip="10.1.0.2", dns_servers="10.1.0.3")
    await innkeeper.post("ipranges/", type="reserved", start_ip="10.1.0.4", end_ip="10.1.0.9")
    await innkeeper.post("ipranges/", type="dynamic", start_ip="10.1.0.10", end_ip="10.1.0.15")
    await innkeeper.post("subnets/", cidr="10.1.0.16/28", vlan=of_subnet["vlan"]["id"])
    assert (await nic.link("AUTO"))["links"][0]["ip_address"] == "10.1.0.32"
    await nic.do("disconnect")
    await innkeeper.post("ipranges/", type="reserved", start_ip="10.1.0.32", end_ip="10.1.0.127")
    assert (await nic.link("AUTO"))["links"][0]["ip_address"] == "10.1.0.254", "the host's DHCP server reserves it"
    await nic.do("disconnect")
    last = await innkeeper.post("ipranges/", type="reserved", start_ip="10.1.0.128", end_ip="10.1.0.254")
    error = await rejection(nic.link("AUTO"))
    assert error.details["status"] == 503
    assert "10.1.0.0/24 has no free address: all are in use, reserved or in a DHCP range" in error.message
    assert error.message.endswith(
        f"delete the reserved range 10.1.0.128-10.1.0.254: innkeeper iprange delete {last['id']}"
    )
    assert await nic.links() == []


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"mode": "STATIC", "ip_address": "10.2.0.7"}, "ip_address", "is not in the subnet 10.1.0.0/24"),
        ({"mode": "STATIC", "ip_address": "10.1.0.1"}, "ip_address", "is the gateway"),
        ({"mode": "STATIC", "ip_address": "10.1.0.20"}, "ip_address", "belongs to machine other"),
        ({"mode": "STATIC", "ip_address": "10.1"}, "ip_address", "is not an IP address"),
        ({"mode": "AUTO", "ip_address": "10.1.0.7"}, "ip_address", "only with mode=STATIC"),
        ({"mode": "AUTO", "subnet": "10.2.0.0/24"}, "subnet", "A NIC stays where it was attached"),
        ({"mode": "AUTO", "subnet": "nowhere"}, "subnet", "nowhere"),
        ({"mode": "AUTO", "subnet": ""}, "subnet", "needs a subnet"),
        ({"mode": "DHCP", "subnet": ""}, "subnet", "A link has a subnet: name one"),
        ({"mode": "link_up", "subnet": ""}, "subnet", "or end the link of the NIC with op=disconnect"),
        ({"mode": "DHCP", "default_gateway": "true"}, "default_gateway", "mode AUTO or STATIC"),
        ({"mode": "bridge"}, "mode", "AUTO"),
    ],
)
async def test_a_wrong_link_says_why(innkeeper: Deployment, fields: dict[str, str], field: str, reason: str) -> None:
    nic = await ready(innkeeper)
    await ready(innkeeper, "other", interfaces="eth0:ip=10.1.0.20")
    with pytest.raises(InvalidRequest) as rejected:
        await nic.do("link_subnet", **{"subnet": "10.1.0.0/24", **fields})
    assert list(rejected.value.fields) == [field]
    assert reason in rejected.value.fields[field][0]


async def test_a_second_link_replaces_the_first_only_with_force(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    await nic.link("STATIC", ip_address="10.1.0.7")
    with pytest.raises(InvalidRequest, match=r"10.1.0.7, and a NIC has one link"):
        await nic.link("STATIC", ip_address="10.1.0.8")
    await nic.link("STATIC", ip_address="10.1.0.8", force="true")
    assert await nic.links() == [("static", "10.1.0.8")]
    assert await rows(innkeeper, "select host(address) from ip_address") == [("10.1.0.8",)]
    await nic.link("LINK_UP", force="true")
    assert await nic.links() == [("link_up", None)]
    await nic.link("dhcp")
    assert await nic.links() == [("dhcp", None)]


async def test_two_nics_at_once_get_different_addresses(innkeeper: Deployment) -> None:
    nics = [await ready(innkeeper, f"web-{number}") for number in range(4)]
    linked = await asyncio.gather(*(nic.link("AUTO") for nic in nics))
    assert len({one["links"][0]["ip_address"] for one in linked}) == len(nics)


@pytest.mark.slow
async def test_links_change_only_before_deployment(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    nic = await allocated(innkeeper)
    await innkeeper.post(f"machines/{nic.system_id}/", op="deploy")
    await reaches(nic, "Deployed")
    tag, rename = nic.do("add_tag", tag="x"), innkeeper.put(nic.path, name="x")
    for change in (nic.link("AUTO"), nic.do("disconnect"), tag, rename):
        error = await rejection(change)
        assert error.details["status"] == 409
        assert "web is Deployed: its NICs can be changed while it is Ready or Allocated" in error.message


async def test_the_nics_of_adopted_machines_are_not_configured(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    await execute(innkeeper.region.components.database, "update machine set adopted = true")
    error = await rejection(nic.do("disconnect"))
    assert (error.details["status"], "was adopted" in error.message) == (409, True)


async def test_only_the_owner_changes_an_allocated_machine(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    ann = Nic(await as_user(innkeeper, "ann"), nic.system_id)
    with pytest.raises(NotAllowed, match="web is stock"):  # she may allocate it, and nothing else
        await ann.link("AUTO")
    await nic.link("AUTO")
    await innkeeper.post("machines/", op="allocate", system_id=nic.system_id)
    with pytest.raises(NotAllowed, match="You do not own web"):
        await ann.do("disconnect")
    assert await nic.links() == [("auto", FIRST_FREE)]


@pytest.mark.slow
async def test_a_deployed_guest_has_the_new_address(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    nic = await allocated(innkeeper, interfaces="eth0:ip=10.1.0.7")
    await nic.link("STATIC", ip_address="10.1.0.9", force="true")
    await innkeeper.post(f"machines/{nic.system_id}/", op="deploy")
    machine = await reaches(nic, "Deployed")
    assert network_config(innkeeper)["eth0"]["addresses"] == ["10.1.0.9/24"]
    assert machine["ip_addresses"] == ["10.1.0.9"]
    assert innkeeper.simulated().reserved_addresses_of("web") == ["10.1.0.9"]


@pytest.mark.slow
async def test_release_restores_the_links_from_before_the_allocation(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    nic = await allocated(innkeeper, interfaces="eth0:ip=10.1.0.7")
    await nic.link("STATIC", ip_address="10.1.0.9", force="true")
    other = await ready(innkeeper, "other")
    kept = await invalid_fields(other.link("STATIC", ip_address="10.1.0.7"))
    assert kept == {"ip_address": ["10.1.0.7 is kept for machine web, which has it again when it is released."]}
    await innkeeper.post(f"machines/{nic.system_id}/", op="deploy")
    await reaches(nic, "Deployed")
    await innkeeper.post(f"machines/{nic.system_id}/", op="release")
    await reaches(nic, "Ready")
    assert await nic.links() == [("static", "10.1.0.7")]
    assert innkeeper.simulated().reserved_addresses_of("web") == ["10.1.0.7"]
    assert (await other.link("STATIC", ip_address="10.1.0.9"))["links"][0]["ip_address"] == "10.1.0.9"


async def test_a_link_of_a_ready_machine_stays_after_a_release(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    await nic.link("STATIC", ip_address="10.1.0.9")
    await innkeeper.post("machines/", op="allocate", system_id=nic.system_id)
    await nic.do("disconnect")
    assert await nic.links() == []
    await innkeeper.post(f"machines/{nic.system_id}/", op="release")
    await reaches(nic, "Ready")
    assert await nic.links() == [("static", "10.1.0.9")]


@pytest.mark.slow
async def test_a_default_gateway_is_chosen_shown_and_forgotten(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    for cidr, gateway in (("10.1.0.0/24", "10.1.0.1"), ("10.2.0.0/24", "10.2.0.1")):
        if not await innkeeper.get("vm-hosts/"):
            await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
        await innkeeper.put(f"subnets/{(await subnet(innkeeper, cidr))['id']}/", gateway_ip=gateway)
    nic = await allocated(innkeeper, interfaces="eth0:subnet_cidr=10.1.0.0/24;eth1:subnet_cidr=10.2.0.0/24")
    second = Nic(innkeeper, nic.system_id, "eth1")
    with pytest.raises(InvalidRequest, match="has no address that Innkeeper assigned"):
        await second.do("set_default_gateway")
    await innkeeper.put(f"subnets/{(await subnet(innkeeper))['id']}/", gateway_ip="")
    no_gateway = await invalid_fields(nic.link("AUTO", default_gateway="true"))
    assert "The subnet 10.1.0.0/24 has no gateway" in no_gateway["default_gateway"][0]
    await innkeeper.put(f"subnets/{(await subnet(innkeeper))['id']}/", gateway_ip="10.1.0.1")
    await nic.link("AUTO")
    link = (await second.link("AUTO", "10.2.0.0/24", default_gateway="true"))["links"][0]
    gateways = (await nic.machine())["default_gateways"]
    assert gateways == {
        "ipv4": {"gateway_ip": "10.2.0.1", "link_id": link["id"]}, "ipv6": {"gateway_ip": None, "link_id": None},
    }  # fmt: skip
    await nic.do("set_default_gateway")
    assert (await nic.machine())["default_gateways"]["ipv4"]["gateway_ip"] == "10.1.0.1"
    await second.do("set_default_gateway", link_id=link["id"])
    await innkeeper.post(f"machines/{nic.system_id}/", op="deploy")
    await reaches(nic, "Deployed")
    config = network_config(innkeeper)
    assert ("gateway4" in config["eth0"], config["eth1"]["gateway4"]) == (False, "10.2.0.1")
    await innkeeper.post(f"machines/{nic.system_id}/", op="release")
    await reaches(nic, "Ready")
    assert (await nic.machine())["default_gateways"]["ipv4"]["gateway_ip"] is None


async def test_clearing_default_gateways_lets_the_first_nic_decide(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    await innkeeper.put(f"subnets/{(await subnet(innkeeper))['id']}/", gateway_ip="10.1.0.1")
    await nic.link("AUTO", default_gateway="true")
    machine = await innkeeper.post(f"machines/{nic.system_id}/", op="clear_default_gateways")
    assert machine["default_gateways"]["ipv4"]["gateway_ip"] == "10.1.0.1"
    assert await rows(innkeeper, "select gateway_versions from machine_nic") == [([],)]


async def test_a_nic_has_a_name_and_tags(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    read = await innkeeper.get(nic.path)
    unchanged = {"mac_address": read["mac_address"], "vlan": read["vlan"]["id"]}
    changed = await innkeeper.put(nic.path, name="uplink0", tags="a,b", **unchanged)
    assert (changed["name"], changed["tags"]) == ("uplink0", ["a", "b"])
    nic.name = str(read["id"])
    assert (await nic.do("add_tag", tag="c"))["tags"] == ["a", "b", "c"]
    assert (await nic.do("remove_tag", tag="a"))["tags"] == ["b", "c"]
    for fields in ({"name": "a b"}, {"tags": "a b"}, {"mac_address": "53:54:00:00:00:99"}, {"vlan": "999999"}):
        with pytest.raises(InvalidRequest) as rejected:
            await innkeeper.put(nic.path, **fields)
        assert list(rejected.value.fields) == list(fields)
    assert (await innkeeper.get(nic.path))["tags"] == ["b", "c"]


@pytest.mark.slow
async def test_links_stay_when_the_host_is_removed_and_added_again(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper, interfaces="eth0:ip=10.1.0.7")
    await nic.link("STATIC", ip_address="10.1.0.9", force="true")
    await nic.do("add_tag", tag="fast")
    (host,) = await innkeeper.get("vm-hosts/")
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    await innkeeper.add_simulated(cores=8, storage_gb=1000, networks=NETWORKS)
    await reaches(nic, "Allocated")
    found = await innkeeper.get(nic.path)
    assert (await nic.links(), found["tags"]) == ([("static", "10.1.0.9")], ["fast"])
    await innkeeper.post(f"machines/{nic.system_id}/", op="release")
    await reaches(nic, "Ready")
    assert await nic.links() == [("static", "10.1.0.7")]
    assert await innkeeper.get("discrepancies/") == []


async def test_each_link_has_an_id_that_none_had_before(innkeeper: Deployment) -> None:
    """libmaas finds the link that it has made among those of the NIC by its new id."""
    nic = await ready(innkeeper)
    (composed,) = (await innkeeper.get(nic.path))["links"]
    (interface,) = (await nic.machine())["interface_set"]
    assert composed["id"] == interface["id"], "the link that it was composed with"
    await innkeeper.post("machines/", op="allocate", system_id=nic.system_id)
    (first,) = (await nic.link("AUTO"))["links"]
    (second,) = (await nic.link("STATIC", ip_address="10.1.0.9", force=True))["links"]
    assert len({composed["id"], first["id"], second["id"]}) == 3
    for link_id in (composed["id"], first["id"]):
        fields = await invalid_fields(nic.do("unlink_subnet", id=link_id))
        assert fields == {"id": [f"eth0 has no link {link_id}."]}
    await innkeeper.post(f"machines/{nic.system_id}/", op="release")
    await reaches(nic, "Ready")
    assert (await innkeeper.get(nic.path))["links"] == [composed], "the release restores the link with its id"
    await nic.do("unlink_subnet", id=composed["id"])
    assert await nic.links() == []

"""Networks over a whole installation: learned of a host, then named, grouped, corrected and kept by people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from tests.installation import Installation, installed

NETWORKS = "dmz:10.1.0.0/24:100,lan:10.2.0.0/24"


async def subnet_of(made: Installation, cidr: str) -> Any:
    (found,) = [subnet for subnet in await made.get("subnets/") if subnet["cidr"] == cidr]
    return found


async def interface_of(made: Installation, host: Any, name: str) -> Any:
    found = await made.get(f"nodes/{host['host']['system_id']}/interfaces/")
    return next(each for each in found if each["name"] == name)


async def status_of(work: Any) -> int:
    with pytest.raises(InnkeeperError) as refused:
        await work
    return int(refused.value.details["status"])


async def test_what_a_host_has_appears_and_stays_when_the_host_goes(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated(networks=NETWORKS)
        dmz, lan = await subnet_of(made, "10.1.0.0/24"), await subnet_of(made, "10.2.0.0/24")
        assert (dmz["vlan"]["vid"], lan["vlan"]["vid"]) == (100, 0)
        assert (dmz["vlan"]["dhcp"], dmz["vlan"]["dhcp_on"], dmz["space"]) == (True, False, "undefined")
        interface = await interface_of(made, host, "dmz")
        assert (interface["type"], interface["vlan"]) == ("bridge", dmz["vlan"])
        assert [link["subnet"]["id"] for link in interface["links"]] == [dmz["id"]]
        (undefined,) = await made.get("spaces/")
        assert {subnet["id"] for subnet in undefined["subnets"]} == {dmz["id"], lan["id"]}
        fabric = await made.get(f"fabrics/{dmz['vlan']['fabric']}/")
        assert dmz["vlan"] in fabric["vlans"]
        before = (await made.get("subnets/"), await made.get("fabrics/"))
        await made.post(f"vm-hosts/{host['id']}/", op="refresh")
        assert (await made.get("subnets/"), await made.get("fabrics/")) == before
        await made.delete(f"vm-hosts/{host['id']}/")
        kept = [{**subnet, "vlan": None} for subnet in before[0]]
        assert [{**subnet, "vlan": None} for subnet in await made.get("subnets/")] == kept
        assert await status_of(made.get(f"nodes/{host['host']['system_id']}/interfaces/")) == 404


async def test_people_name_group_and_correct_what_was_learned(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated(networks=NETWORKS)
        dmz, lan = await subnet_of(made, "10.1.0.0/24"), await subnet_of(made, "10.2.0.0/24")
        space = await made.post("spaces/", name="front")
        await made.put(f"vlans/{dmz['vlan']['id']}/", name="dmz", space="front", mtu=9000)
        await made.put(f"subnets/{dmz['id']}/", name="outer", dns_servers="9.9.9.9 1.1.1.1")
        (named,) = (await made.get("spaces/front/"))["subnets"]
        assert (named["name"], named["dns_servers"], named["vlan"]["mtu"]) == ("outer", ["9.9.9.9", "1.1.1.1"], 9000)
        assert (await made.get("subnets/outer/")) == named
        lab = await made.post("fabrics/", name="lab")
        storage = await made.post("fabrics/lab/vlans/", vid=7, name="storage")
        assert storage["fabric_id"] == lab["id"]
        interface = await interface_of(made, host, "lan")
        chosen = await made.put(
            interface["resource_uri"].removeprefix("/MAAS/api/2.0/"), vlan=storage["id"], tags="a, b"
        )
        assert (chosen["vlan"]["id"], chosen["vlan_chosen"], chosen["tags"]) == (storage["id"], True, ["a", "b"])
        await made.post(f"vm-hosts/{host['id']}/", op="refresh")
        assert await interface_of(made, host, "lan") == chosen
        moved = await made.put(f"subnets/{lan['id']}/", vlan=storage["id"])
        assert moved["vlan"]["id"] == storage["id"]
        await made.delete(f"spaces/{space['id']}/")
        assert (await subnet_of(made, "10.1.0.0/24"))["space"] == "undefined"


async def test_ranges_are_kept_out_of_what_is_left(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        subnet = await made.post("subnets/", cidr="10.9.0.0/24", gateway_ip="10.9.0.1", name="early")
        kept = await made.post(
            "ipranges/", type="reserved", start_ip="10.9.0.10", end_ip="10.9.0.19", comment="printers"
        )
        assert kept["subnet"] == subnet
        counted = await made.get("subnets/early/", op="statistics")
        assert (counted["num_unavailable"], counted["largest_available"]) == (11, 235)
        wider = await made.put(f"ipranges/{kept['id']}/", end_ip="10.9.0.29")
        assert (wider["end_ip"], wider["comment"]) == ("10.9.0.29", "printers")
        taken = await made.get("subnets/early/", op="reserved_ip_ranges")
        assert [(one["start"], one["purpose"]) for one in taken] == [
            ("10.9.0.1", ["gateway-ip"]),
            ("10.9.0.10", ["reserved"]),
        ]
        with pytest.raises(InvalidRequest) as refused:
            await made.put(f"ipranges/{kept['id']}/", end_ip="10.8.0.1")
        assert list(refused.value.fields) == ["end_ip"]
        await made.delete(f"ipranges/{kept['id']}/")
        assert await made.get("ipranges/") == []
        assert await status_of(made.get(f"ipranges/{kept['id']}/")) == 404
        for path in ("subnets/10.9.0.0%2F24/", "subnets/10.9.0.0/24/", "subnets/early/"):
            assert (await made.get(path))["id"] == subnet["id"]
            assert (await made.get(path, op="statistics"))["num_unavailable"] == 1
            assert (await made.get(f"{path}op-statistics"))["num_unavailable"] == 1


async def test_a_machine_shows_the_network_that_it_is_on(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated(networks=NETWORKS)
        dmz = await subnet_of(made, "10.1.0.0/24")
        composed = await made.compose(host["id"], interfaces="eth0:subnet_cidr=10.1.0.0/24,ip=10.1.0.7")
        machine = await made.get(f"machines/{composed['system_id']}/")
        (card,) = machine["interface_set"]
        assert machine["ip_addresses"] == ["10.1.0.7"]
        assert card["vlan"] == dmz["vlan"]
        assert [(link["mode"], link["ip_address"], link["subnet"]) for link in card["links"]] == [
            ("static", "10.1.0.7", dmz)
        ]
        used = await made.get(f"subnets/{dmz['id']}/", op="ip_addresses")
        assert [(one["ip"], one["system_id"]) for one in used if one["system_id"]] == [
            ("10.1.0.7", composed["system_id"])
        ]
        storage = await made.post("fabrics/0/vlans/", vid=7)
        moved = await made.put(f"subnets/{dmz['id']}/", vlan=storage["id"])
        (card,) = (await made.get(f"machines/{composed['system_id']}/"))["interface_set"]
        assert card["vlan"] == card["links"][0]["subnet"]["vlan"] == moved["vlan"]
        assert await status_of(made.delete(f"subnets/{dmz['id']}/")) == 400
        with pytest.raises(InnkeeperError) as refused:
            await made.put(f"nodes/{composed['system_id']}/interfaces/{card['id']}/", vlan=dmz["vlan"]["id"])
        assert refused.value.details["status"] == 404

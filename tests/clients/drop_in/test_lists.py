"""Clients that look for machines in lists work through the drop-in address if merge-lists answers those of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.client_host import SIMULATED_SUBNET, ClientHost
from tests.clients.drop_in.metal import METAL
from tests.clients.drop_in.proxies import Program
from tests.clients.drop_in.site import ALLOCATED_BY_EITHER, INNKEEPER, KEPT, MAAS, UNLISTED, Call, Site, site
from tests.clients.environment import run
from tests.clients.exact_bytes import Ansible, Gomaasclient
from tests.clients.go_programs import PROGRAMS, built
from tests.clients.scenarios.ansible import Modules
from tests.clients.scenarios.terraform_data import DataSources
from tests.clients.scenarios.terraform_devices import NicsAndDisks
from tests.deployment.deployment import Deployment

BOTH = pytest.mark.parametrize("proxy", list(Program))
OF_INNKEEPER = ["kept", "own", "unlisted"]


def names(found: Any) -> list[str]:
    return sorted(one["hostname"] for one in found)


def get(target: str) -> Call:
    return Call(method="GET", target=f"api/2.0/{target}")


@BOTH
async def test_lists_have_the_machines_of_both(innkeeper: Deployment, tmp_path: Path, proxy: Program) -> None:
    async with site(innkeeper, proxy, tmp_path, merged=True) as made:
        await innkeeper.post("machines/", op="allocate", system_id=made.own)
        made.maas.metal.allocate({"agent_name": ["model"]})
        wanted = {
            "machines/?hostname=own&hostname=metal": ["metal", "own"],
            "machines/?agent_name=model": ["metal"],
            "machines/?op=list_allocated": ["metal", "own"],
            "machines/op-list_allocated": ["metal", "own"],
            **{f"machines/?id={one}": [name] for one, name in ((made.own, "own"), (KEPT, "kept"), (METAL, "metal"))},
            **{one: [*OF_INNKEEPER, "metal"] for one in ("machines/", "machines//", "machines/?op=")},
        }
        found = {target: names((await made.send(get(target))).json) for target in wanted}
        assert found == {target: sorted(hostnames) for target, hostnames in wanted.items()}
        assert {"metal", *OF_INNKEEPER} <= {*names((await made.send(get("nodes/"))).json)}
        parameters = (await made.send(get("machines/?op=power_parameters"))).json
        assert {METAL, KEPT, made.own} <= {*parameters}
        assert (await made.send(get("machines/?op=is_registered&mac_address=52:54:00:00:00:01"))).json is False


@BOTH
async def test_records_that_maas_has_kept_of_vms_are_left_out(
    innkeeper: Deployment, tmp_path: Path, proxy: Program
) -> None:
    async with site(innkeeper, proxy, tmp_path, merged=True) as made:
        (vm,) = [one for one in await innkeeper.get("machines/") if one["system_id"] == KEPT]
        made.maas.more = [{**made.maas.metal.json, "system_id": one, "hostname": "old"} for one in (KEPT, UNLISTED)]
        assert names((await made.send(get("machines/"))).json) == sorted([*OF_INNKEEPER, "metal"])
        await innkeeper.delete(f"machines/{vm['system_id']}/")
        assert names((await made.send(get("machines/"))).json) == ["metal", "own", "unlisted"]


@BOTH
@pytest.mark.parametrize("without", [INNKEEPER, MAAS])
async def test_a_list_fails_if_a_side_is_down(
    innkeeper: Deployment, tmp_path: Path, proxy: Program, without: str
) -> None:
    """Else a client takes the machines of that side for gone."""
    async with site(innkeeper, proxy, tmp_path, merged=True, without=without) as made:
        failed = await made.send(get("machines/"))
        assert (failed.status, "did not answer" in failed.body.decode()) == (502, True)
        one, name = (made.own, "own") if without == MAAS else (METAL, "metal")
        assert (await made.send(get(f"machines/{one}/"))).status == 200
        assert names((await made.send(get(f"machines/?id={one}"))).json) == [name]


@BOTH
async def test_a_list_is_refused_if_a_side_refuses_it(innkeeper: Deployment, tmp_path: Path, proxy: Program) -> None:
    async with site(innkeeper, proxy, tmp_path, merged=True) as made:
        stranger = Gomaasclient.to(made.address.url, "a:b:c")
        assert (await stranger.get("machines/")).status == 401
        assert (await made.send(get("machines/"), signed=False)).status == 401


@BOTH
async def test_terraform_finds_machines_of_both(innkeeper: Deployment, tmp_path: Path, proxy: Program) -> None:
    async with site(innkeeper, proxy, tmp_path, merged=True) as made:
        client = Gomaasclient.to(made.address.url, made.key)
        data = DataSources(client)
        mac = (await data.machine("own"))[9]
        found = [await data.machine(one) for one in ("own", made.own, mac)]
        assert [one[0] for one in found] == [made.own] * 3
        assert [(await data.machine(one))[0] for one in ("metal", METAL)] == [METAL] * 2
        assert (await data.machine("metal"))[4:6] == ["ipmi", "Ready"]
        assert {(METAL, "metal"), (made.own, "own")} <= {(one, name) for name, one in await data.machines()}
        vm = NicsAndDisks(client, "own", SIMULATED_SUBNET)
        await vm.create_interface_physical(name="lan0", tags="uplink,lan")
        await vm.update_interface_physical()
        await vm.create_block_device("sda", 8, "boot", is_boot_device=True)
        await vm.set_interface_tags("lan", "fast")
        await vm.set_disk_tags("ssd")
        assert (await vm.plan_of_disk())[4] == ["ssd"]
    assert not [one for one in made.maas.requests if one.method != "GET"]


@BOTH
async def test_terraform_links_nics_of_vms_at_the_address_of_innkeeper(
    innkeeper: Deployment, tmp_path: Path, proxy: Program
) -> None:
    """It looks for the subnet in the list, which is MAAS's, and sends its id: another number at Innkeeper."""
    async with site(innkeeper, proxy, tmp_path, merged=True) as made:
        of_maas = made.maas.site.rows.all("subnet")[-1]
        of_maas["cidr"] = SIMULATED_SUBNET
        assert [one["id"] for one in await innkeeper.get("subnets/")] != [of_maas["id"]]
        through = NicsAndDisks(Gomaasclient.to(made.address.url, made.key), "own", SIMULATED_SUBNET)
        await through.create_interface_physical(name="lan0", tags="lan")
        with pytest.raises(AssertionError, match=r"^40[04]: "):
            await through.create_interface_link("10.1.0.40")
        path = f"nodes/{made.own}/interfaces/{through.nic_id}/"
        by_cidr = [("mode", "STATIC"), ("subnet", SIMULATED_SUBNET), ("ip_address", "10.1.0.41")]
        assert (await through.client.post(path, "link_subnet", by_cidr)).status == 200
        aliased = NicsAndDisks(Gomaasclient.to(made.region.url, made.key), "own", SIMULATED_SUBNET)
        aliased.nic_id = through.nic_id
        await aliased.create_interface_link("10.1.0.40")


@BOTH
async def test_ansible_changes_nothing_twice(innkeeper: Deployment, tmp_path: Path, proxy: Program) -> None:
    async with site(innkeeper, proxy, tmp_path, merged=True) as made:
        play = modules(made)
        assert [await play.vm_host(), await play.vm_host_machine(), await play.instance("Deployed")] == [True] * 3
        assert not any([await play.vm_host(), await play.vm_host_machine(), await play.instance("Deployed")])
        listed = {one.partition(".")[0] for group in (await play.inventory()).values() for one in group}
        assert {"an-vm", "metal", "own"} <= listed
        assert await play.instance("Ready")
        (metal,) = [one for one in await play.get("machines/") if one["hostname"] == "metal"]
        deployed = await play.post(f"machines/{metal['system_id']}/", [("distro_series", "noble")], "deploy")
        assert deployed["status_name"] == "Deploying"


@BOTH
async def test_without_merged_lists_ansible_and_terraform_do_not_find_vms(
    innkeeper: Deployment, tmp_path: Path, proxy: Program
) -> None:
    async with site(innkeeper, proxy, tmp_path) as made:
        play = modules(made)
        assert [await play.vm_host(), await play.vm_host_machine()] == [True, True]
        with pytest.raises(AssertionError, match="an-vm"):
            await play.vm_host_machine()
        with pytest.raises(ValueError, match="not enough values"):
            await DataSources(Gomaasclient.to(made.address.url, made.key)).machine("own")


@BOTH
async def test_gomaasapi_uses_machines_of_both(innkeeper: Deployment, tmp_path: Path, proxy: Program) -> None:
    executable = await built(PROGRAMS / "juju_drop_in.go", tmp_path / "juju")
    async with site(innkeeper, proxy, tmp_path, changes=ALLOCATED_BY_EITHER[proxy], merged=True) as made:
        output = await run(executable, f"{made.address.url}/api/2.0/", made.key, made.own, METAL, HOME=str(tmp_path))
    assert json.loads(output) == {
        "all": sorted([*OF_INNKEEPER, "metal"]), "nothing fits": True, "of the model": ["metal", "own"],
        "deployed": ["Deployed", "Deployed"], "both at once": True, "left": [],
    }  # fmt: skip


def modules(made: Site) -> Modules:
    host = ClientHost(
        type="simulated", address=f"simulated:an?networks=lan:{SIMULATED_SUBNET}", subnet=SIMULATED_SUBNET
    )
    return Modules(Ansible.to(made.address.url, made.key), host)

"""NICs that machines get and lose after their compose: attached, addressed and claimed from the beginning."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import WrongState
from tests.deployment.deployment import Deployment
from tests.integration.adoption import refresh, rows
from tests.integration.users import as_user
from tests.rejections import outcomes, rejected_status, rejection


async def composed(innkeeper: Deployment, name: str = "web", **fields: Any) -> Any:
    if "sim" not in innkeeper.hosts:
        await innkeeper.add_simulated(cores=16, memory_mib=32768)
    return await innkeeper.compose(innkeeper.hosts["sim"], hostname=name, cores=1, memory=1024, **fields)


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def add(innkeeper: Deployment, machine: Any, **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="add_interface", **fields)


async def remove(innkeeper: Deployment, machine: Any, interface: str = "eth1", **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="remove_interface", interface=interface, **fields)


async def names(innkeeper: Deployment, machine: Any) -> list[str]:
    return [nic["name"] for nic in await innkeeper.get(f"nodes/{machine['system_id']}/interfaces/")]


def on_host(innkeeper: Deployment) -> list[str]:
    return [mac for (mac,) in rows(innkeeper, "select mac_address from nic order by position")]


async def events(innkeeper: Deployment, kind: str) -> list[str]:
    return [event.message for event in await innkeeper.region.components.services.events.list() if event.kind == kind]


async def test_a_machine_gets_another_nic_off_or_on(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    changed = await add(innkeeper, machine, mac_address="52:54:00:AA:00:01", tags="up")
    (_, nic) = changed["interface_set"]
    assert (nic["name"], nic["mac_address"], nic["tags"]) == ("eth1", "52:54:00:aa:00:01", ["up"])
    await innkeeper.post(path(machine), op="power_on")
    await add(innkeeper, machine)
    assert await names(innkeeper, machine) == ["eth0", "eth1", "eth2"]
    assert on_host(innkeeper)[1] == "52:54:00:aa:00:01"
    assert len(on_host(innkeeper)) == 3
    assert [text.partition(" (")[0] for text in await events(innkeeper, "machine_nic_added")] == [
        "web on sim has the NIC eth2", "web on sim has the NIC eth1",
    ]  # fmt: skip
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await innkeeper.discrepancies() == []


async def test_a_removed_nic_is_gone_from_guest_and_ledger(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await add(innkeeper, machine)
    await remove(innkeeper, machine)
    assert await names(innkeeper, machine) == ["eth0"]
    assert len(on_host(innkeeper)) == 1
    assert "the first" not in str(await rejection(remove(innkeeper, machine, "eth1")))
    error = await rejection(remove(innkeeper, machine, "eth0"))
    assert error.details["status"] == 409
    assert "boots from the network" in str(error)
    assert await innkeeper.discrepancies() == []


async def test_a_dry_run_changes_nothing(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await add(innkeeper, machine)
    before = await innkeeper.fetch("select count(*) from operation")
    plan = await add(innkeeper, machine, dry_run="true")
    assert plan["effects"][0].startswith("web gets the NIC eth2 on ")
    plan = await remove(innkeeper, machine, dry_run="true")
    assert plan["effects"][0].startswith("web loses the NIC eth1 (")
    assert await innkeeper.fetch("select count(*) from operation") == before
    assert await names(innkeeper, machine) == ["eth0", "eth1"]


async def test_bad_requests_are_refused_by_field(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    (own,) = on_host(innkeeper)
    found = await outcomes([
        add(innkeeper, machine, mac_address="no"),
        add(innkeeper, machine, mac_address="53:54:00:00:00:01"),
        add(innkeeper, machine, mac_address=own),
        add(innkeeper, machine, interfaces="eth0:mode=unconfigured"),
        add(innkeeper, machine, interfaces="eth1:space=none"),
        add(innkeeper, machine, interfaces="eth1:mode=unconfigured;eth2:mode=unconfigured"),
    ])  # fmt: skip
    assert [text.partition(": ")[2].partition(": ")[0] for text in found] == [
        "mac_address", "mac_address", "mac_address", "interfaces", "interfaces", "interfaces",
    ]  # fmt: skip
    assert await names(innkeeper, machine) == ["eth0"]


async def test_an_address_is_claimed_with_its_nic_and_free_after_it(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    subnets = await innkeeper.get("subnets/")
    subnet = next(one for one in subnets if ":" not in one["cidr"])
    address = subnet["cidr"].rpartition(".")[0] + ".77"
    await add(innkeeper, machine, interfaces=f"eth1:ip={address}")
    (_, nic) = (await innkeeper.get(path(machine)))["interface_set"]
    assert [link.get("ip_address") for link in nic["links"]] == [address]
    taken = await outcomes([add(innkeeper, machine, interfaces=f"eth2:ip={address}")])
    assert taken[0].startswith("400: interfaces: ")
    await remove(innkeeper, machine)
    assert await innkeeper.fetch("select 1 from ip_address where host(address) = $1", address) == []
    await add(innkeeper, machine, interfaces=f"eth1:ip={address}")
    assert await innkeeper.discrepancies() == []


async def test_virtual_functions_move_with_nics(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=32768, virtual_functions="1x2")
    machine = await composed(innkeeper, interfaces="eth0:name=sim0")
    claimed = "select coalesce(sum(amount), 0)::integer as pieces from claim where resource = 'virtual_functions'"
    ((before,),) = [tuple(row) for row in await innkeeper.fetch(claimed)]
    await add(innkeeper, machine, interfaces="eth1:name=sim0")
    ((after,),) = [tuple(row) for row in await innkeeper.fetch(claimed)]
    assert (before, after) == (1, 2)
    error = await rejection(add(innkeeper, machine, interfaces="eth2:name=sim0"))
    assert "0 of 2 free" in str(error)
    await remove(innkeeper, machine)
    assert [tuple(row) for row in await innkeeper.fetch(claimed)] == [(1,)]
    assert await innkeeper.discrepancies() == []


async def test_what_fails_on_the_host_leaves_everything_as_it_was(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await composed(innkeeper, power_on="true")
    await add(innkeeper, machine)

    def refuse(*_: object, **__: object) -> None:
        raise WrongState("the guest uses it")

    for function, request in (("_attach", add(innkeeper, machine)), ("_detach", remove(innkeeper, machine))):
        with monkeypatch.context() as refusing:
            refusing.setattr(f"rackd.drivers.simulated.nic_changes.{function}", refuse)
            error = await rejection(request)
        assert "the guest uses it" in str(error)
        assert await names(innkeeper, machine) == ["eth0", "eth1"]
        assert len(on_host(innkeeper)) == 2
        assert await innkeeper.discrepancies() == []


async def test_interfaces_of_maas_are_created_and_deleted(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    interfaces = f"nodes/{machine['system_id']}/interfaces/"
    (first,) = await innkeeper.get(interfaces)
    created = await innkeeper.post(
        interfaces, op="create_physical", mac_address="52:54:00:00:00:77", name="lan1", vlan=first["vlan"]["id"]
    )
    assert (created["name"], created["vlan"]["id"]) == ("lan1", first["vlan"]["id"])
    await innkeeper.delete(f"{interfaces}{created['id']}/")
    assert await names(innkeeper, machine) == ["eth0"]


async def test_only_who_may_change_the_machine_changes_its_nics(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await innkeeper.post("machines/", op="allocate", name="web")
    joe = await as_user(innkeeper, "joe")
    assert await rejected_status(add(joe, machine)) == 403
    assert await rejected_status(remove(joe, machine, "eth0")) == 403

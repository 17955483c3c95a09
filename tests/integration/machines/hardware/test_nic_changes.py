"""NICs that machines get and lose after their compose: attached, addressed and claimed from the beginning."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import WrongState
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.users import as_user
from tests.support.rejections import outcomes, rejected_status, rejection


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


async def change(innkeeper: Deployment, machine: Any, interface: str = "eth0", **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="change_interface", interface=interface, **fields)


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


@pytest.mark.slow
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


async def test_an_interface_of_maas_gets_another_vlan_and_mac_address(innkeeper: Deployment) -> None:
    machine = await on_networks(innkeeper)
    nic = await interface(innkeeper, machine)
    url = f"nodes/{machine['system_id']}/interfaces/{nic['id']}/"
    dmz = next(one["vlan"] for one in await innkeeper.get("subnets/") if one["cidr"] == "10.62.0.0/24")
    changed = await innkeeper.put(
        url, name="front", vlan=dmz["id"], mac_address="52:54:00:aa:00:05", tags="a,b", mtu=nic["effective_mtu"]
    )
    assert (changed["name"], changed["vlan"]["id"], changed["tags"]) == ("front", dmz["id"], ["a", "b"])
    assert (changed["mac_address"], sources(innkeeper)[0]) == ("52:54:00:aa:00:05", ("52:54:00:aa:00:05", "dmz"))
    before = await innkeeper.fetch("select count(*) from operation")
    same = await innkeeper.put(url, name="front", vlan=dmz["id"], mac_address="52:54:00:AA:00:05")
    assert (same, await innkeeper.fetch("select count(*) from operation")) == (changed, before)


async def test_only_who_may_change_the_machine_changes_its_nics(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await innkeeper.post("machines/", op="allocate", name="web")
    joe = await as_user(innkeeper, "joe")
    assert await rejected_status(add(joe, machine)) == 403
    assert await rejected_status(remove(joe, machine, "eth0")) == 403


async def on_networks(innkeeper: Deployment) -> Any:
    """A machine on a host with two networks."""
    await innkeeper.add_simulated(cores=16, memory_mib=32768, networks="lan:10.61.0.0/24,dmz:10.62.0.0/24:100")
    return await composed(innkeeper, interfaces="eth0:name=lan,ip=10.61.0.9;eth1:name=lan")


async def interface(innkeeper: Deployment, machine: Any, index: int = 0) -> Any:
    return (await innkeeper.get(path(machine)))["interface_set"][index]


def address_of(nic: Any) -> list[Any]:
    return [link.get("ip_address") for link in nic["links"]]


async def held(innkeeper: Deployment) -> list[str]:
    return [str(row[0]) for row in await innkeeper.fetch("select host(address) from ip_address order by address")]


def sources(innkeeper: Deployment) -> list[tuple[str, str]]:
    return [(mac, source) for mac, source in rows(innkeeper, "select mac_address, source from nic order by position")]


async def test_a_nic_moves_to_another_network_also_while_its_machine_runs(innkeeper: Deployment) -> None:
    machine = await on_networks(innkeeper)
    before = await interface(innkeeper, machine)
    await innkeeper.post(path(machine), op="power_on")
    await change(innkeeper, machine, interfaces="x:name=dmz,ip=10.62.0.9")
    after = await interface(innkeeper, machine)
    for same in ("id", "name", "mac_address", "tags"):
        assert after[same] == before[same]
    assert (after["vlan"]["vid"], address_of(after)) == (100, ["10.62.0.9"])
    assert sources(innkeeper)[0] == (before["mac_address"], "dmz")
    assert await held(innkeeper) == ["10.62.0.9"]
    await change(innkeeper, machine, interfaces="eth0:name=lan")
    after = await interface(innkeeper, machine)
    assert (after["vlan"]["vid"], address_of(after), await held(innkeeper)) == (0, [None], [])
    assert len(await events(innkeeper, "machine_nic_changed")) == 2
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await innkeeper.discrepancies() == []


async def test_a_mac_address_is_changed_while_the_machine_is_off(innkeeper: Deployment) -> None:
    machine = await on_networks(innkeeper)
    await innkeeper.post(path(machine), op="power_on")
    error = await rejection(change(innkeeper, machine, mac_address="52:54:00:AA:00:02"))
    assert "Shut web down first" in str(error)
    await innkeeper.post(path(machine), op="power_off", stop_mode="hard")
    await change(innkeeper, machine, mac_address="52:54:00:AA:00:02")
    after = await interface(innkeeper, machine)
    assert (after["mac_address"], address_of(after)) == ("52:54:00:aa:00:02", ["10.61.0.9"])
    assert sources(innkeeper)[0] == ("52:54:00:aa:00:02", "lan")
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await innkeeper.discrepancies() == []


async def test_a_dry_run_says_what_a_change_of_a_nic_does(innkeeper: Deployment) -> None:
    machine = await on_networks(innkeeper)
    plan = await change(innkeeper, machine, interfaces="x:name=dmz", mac_address="52:54:00:00:aa:03", dry_run="true")
    assert plan["effects"][:2] == ["eth0 of web is on dmz instead of lan.", "Its address 10.61.0.9 is free then."]
    assert plan["effects"][2].startswith("Its MAC address is 52:54:00:00:aa:03 instead of ")
    assert (await held(innkeeper), sources(innkeeper)[0][1]) == (["10.61.0.9"], "lan")


async def test_a_change_of_a_nic_that_is_not_possible_is_refused_by_field(innkeeper: Deployment) -> None:
    machine = await on_networks(innkeeper)
    found = await outcomes([
        change(innkeeper, machine),
        change(innkeeper, machine, mac_address="no"),
        change(innkeeper, machine, mac_address=sources(innkeeper)[1][0]),
        change(innkeeper, machine, interfaces="a:name=dmz;b:name=dmz"),
        change(innkeeper, machine, interfaces="a:name=dmz,ip=10.61.0.50"),
    ])  # fmt: skip
    assert [text.partition(": ")[2].partition(": ")[0] for text in found[:4]] == [
        "interfaces", "mac_address", "mac_address", "interfaces",
    ]  # fmt: skip
    assert "10.61.0.50" in found[4] or "subnet" in found[4]
    assert await held(innkeeper) == ["10.61.0.9"]


async def test_a_change_that_fails_on_the_host_leaves_the_nic_as_it_was(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await on_networks(innkeeper)
    before = await interface(innkeeper, machine)

    def refuse(*_: object, **__: object) -> None:
        raise WrongState("the guest uses it")

    with monkeypatch.context() as refusing:
        refusing.setattr("rackd.drivers.simulated.nic_changes._change", refuse)
        error = await rejection(change(innkeeper, machine, interfaces="x:name=dmz,ip=10.62.0.9"))
    assert "the guest uses it" in str(error)
    assert await interface(innkeeper, machine) == before
    assert await held(innkeeper) == ["10.61.0.9"]
    assert await innkeeper.discrepancies() == []


async def test_a_virtual_function_is_free_once_its_nic_has_another_network(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=32768, virtual_functions="1x2", networks="lan:10.61.0.0/24")
    machine = await composed(innkeeper, interfaces="eth0:name=sim0")
    claimed = "select coalesce(sum(amount), 0)::integer from claim where resource = 'virtual_functions'"
    await change(innkeeper, machine, mac_address="52:54:00:aa:00:04")
    assert [tuple(row) for row in await innkeeper.fetch(claimed)] == [(1,)]
    await change(innkeeper, machine, interfaces="x:name=lan")
    assert [tuple(row) for row in await innkeeper.fetch(claimed)] == [(0,)]
    await change(innkeeper, machine, interfaces="x:name=sim0")
    assert [tuple(row) for row in await innkeeper.fetch(claimed)] == [(1,)]
    assert await innkeeper.discrepancies() == []


async def test_a_release_does_not_restore_a_link_of_the_former_network(innkeeper: Deployment) -> None:
    machine = await on_networks(innkeeper)
    await innkeeper.post("machines/", op="allocate", name="web")
    nic = await interface(innkeeper, machine)
    await innkeeper.post(f"nodes/{machine['system_id']}/interfaces/{nic['id']}/", op="disconnect")
    await change(innkeeper, machine, interfaces="x:name=dmz,ip=10.62.0.9")
    await innkeeper.post(path(machine), op="release")
    after = await interface(innkeeper, machine)
    assert (after["vlan"]["vid"], address_of(after)) == (100, ["10.62.0.9"])
    assert await held(innkeeper) == ["10.62.0.9"]

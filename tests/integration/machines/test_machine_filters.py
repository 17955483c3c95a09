"""Filters of `machines/`: what MAAS's clients select machines by, and exclude."""

from __future__ import annotations

from typing import Any

import pytest

from regiond.db.pool import Database
from regiond.machines.core.view_store import list_machines, machine_ids
from regiond.machines.values.criteria import MachineCriteria, Traits
from regiond.machines.values.search import MachineFilter
from tests.bench.prefilled import prefill
from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user, own
from tests.postgresql.database import execute
from tests.support.rejections import invalid_fields


async def two_machines(innkeeper: Deployment) -> dict[str, str]:
    """`small` and `big`, each on a host of its own; the system id of each."""
    found = {}
    for name, size in (("small", {"cores": 1, "memory": 1024}), ("big", {"cores": 4, "memory": 4096})):
        host = await innkeeper.add_simulated(f"{name}-host")
        found[name] = str((await innkeeper.compose(host["id"], hostname=name, **size))["system_id"])
    return found


async def names(innkeeper: Deployment, *filters: tuple[str, Any]) -> list[str]:
    query = [(name, str(one)) for name, value in filters for one in (value if isinstance(value, list) else [value])]
    answer = await innkeeper.api.send("GET", "machines/", query=query)
    assert answer.warnings == ()
    return [machine["hostname"] for machine in answer.json()]


@pytest.mark.slow
async def test_machines_are_selected_by_what_they_have(innkeeper: Deployment) -> None:
    ids = await two_machines(innkeeper)
    await as_user(innkeeper, "ann")
    await own(innkeeper, ids["big"], "ann")
    await innkeeper.post("zones/", name="far")
    await innkeeper.put(f"machines/{ids['big']}/", zone="far")
    await innkeeper.post("resourcepools/", name="other")
    lab = await innkeeper.post("fabrics/", name="lab", class_type="10g")
    vlan = await innkeeper.post(f"fabrics/{lab['id']}/vlans/", vid=77, name="seventy")
    await innkeeper.post("subnets/", cidr="10.99.0.0/16", vlan=vlan["id"], name="unused")
    await innkeeper.post(f"machines/{ids['big']}/", op="power_on")
    hosts = {host["name"]: host["host"]["system_id"] for host in await innkeeper.get("vm-hosts/")}
    nic = (await innkeeper.get(f"machines/{ids['big']}/"))["interface_set"][0]
    for selects_big in (
        ("owner", "ann"), ("not_owner", "nobody"), ("cpu_count", 2), ("mem", "2048"), ("power_state", "on"),
        ("parent", hosts["big-host"]), ("system_id", ids["big"]), ("not_id", ids["small"]), ("not_hostname", "SMALL"),
        ("not_in_zone", "default"),
        ("zone", "name:far"), ("not_pod", "small-host"), ("not_power_state", "off"), ("not_status", "ready"),
        ("simple_status", "allocated"), ("not_simple_status", "ready"), ("not_cpu_count", 1), ("not_mem", 1024),
    ):  # fmt: skip
        expected = ["small", "big"] if selects_big == ("not_owner", "nobody") else ["big"]
        assert await names(innkeeper, selects_big) == expected, selects_big
    for selects_both in (
        ("arch", "amd64/generic"), ("not_arch", "arm64"), ("not_in_pool", "other"), ("not_pod_type", "lxd"),
        ("vlans", nic["vlan"]["id"]), ("fabrics", nic["vlan"]["fabric"]), ("not_osystem", "ubuntu"),
        ("not_mac_address", "52:54:00:00:00:00"), ("not_agent_name", "juju"), ("not_subnets", "10.99.0.0/16"),
        ("status", ["ready", "10"]),
        ("deployment_target", "disk"), ("not_deployment_target", "memory"), ("not_simple_status", "failed"),
        ("not_cpu_count", 2), ("not_cpu_speed", "2400"), ("not_fabric_classes", "10g"), ("not_link_speed", "1000"),
        ("vlans", "vid:0"), ("vlans", f"id:{nic['vlan']['id']}"), ("vlans", "untagged"), ("not_vlans", "vid:77"),
    ):  # fmt: skip
        assert await names(innkeeper, selects_both) == ["small", "big"], selects_both
    for selects_none in (
        ("owner", "nobody"), ("cpu_count", 5), ("pod_type", "lxd"), ("osystem", "ubuntu"), ("not_domain", "maas"),
        ("distro_series", "noble"), ("subnets", "10.99.0.0/16"), ("link_speed", 1000), ("devices", "vendor_id=8086"),
        ("not_vlans", nic["vlan"]["id"]), ("not_in_pool", "default"), ("simple_status", "failed"),
        ("simple_status", "testing"), ("status", "testing"), ("power_state", "error"), ("power_state", "paused"),
        ("fabric_classes", "10g"),
        ("deployment_target", "memory"), ("not_deployment_target", "disk"),
    ):  # fmt: skip
        assert await names(innkeeper, selects_none) == [], selects_none


@pytest.mark.slow
async def test_machines_are_selected_by_every_form_of_a_network(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(networks="front:10.1.0.0/24:0,back:10.2.0.0/24:77")
    nics = {}
    for hostname in ("front", "back"):
        await innkeeper.compose(host["id"], hostname=hostname, interfaces=f"a:name={hostname}")
        nics[hostname] = (await innkeeper.get(f"machines/{hostname}/"))["interface_set"][0]
    vlan, subnet = nics["back"]["vlan"], nics["back"]["links"][0]["subnet"]
    await innkeeper.put(f"fabrics/{vlan['fabric_id']}/", class_type="10g")
    await innkeeper.put(f"vlans/{vlan['id']}/", name="storage")
    space = await innkeeper.post("spaces/", name="dmz")
    await innkeeper.put(f"vlans/{vlan['id']}/", space=space["id"])
    for name, value in (
        ("vlans", "vid:77"), ("vlans", "77"), ("vlans", f"id:{vlan['id']}"), ("vlans", vlan["id"]),
        ("vlans", "name:storage"), ("vlans", "storage"), ("vlans", "space:dmz"), ("vlans", "subnet:cidr:10.2.0.0/24"),
        ("subnets", "cidr:10.2.0.0/24"), ("subnets", "10.2.0.0/24"), ("subnets", f"id:{subnet['id']}"),
        ("subnets", subnet["id"]), ("subnets", f"name:{subnet['name']}"), ("subnets", "ip:10.2.0.9"),
        ("subnets", "space:dmz"), ("subnets", "vlan:77"), ("fabrics", f"id:{vlan['fabric_id']}"),
        ("fabrics", f"name:{vlan['fabric']}"), ("fabrics", "class:10g"), ("fabric_classes", "10g"),
    ):  # fmt: skip
        assert await names(innkeeper, (name, value)) == ["back"], (name, value)
        assert await names(innkeeper, (f"not_{name}", value)) == ["front"], (name, value)


async def test_filters_combine(innkeeper: Deployment) -> None:
    ids = await two_machines(innkeeper)
    assert await names(innkeeper, ("id", ids["small"]), ("id", ids["big"]), ("cpu_count", 2)) == ["big"]
    assert await names(innkeeper, ("id", ids["small"]), ("cpu_count", 2)) == []
    assert await names(innkeeper, ("limit", 1), ("not_hostname", "big")) == ["small"]


async def test_events_are_selected_by_what_their_machines_have(innkeeper: Deployment) -> None:
    ids = await two_machines(innkeeper)
    await as_user(innkeeper, "ann")
    await own(innkeeper, ids["big"], "ann")
    mac = (await innkeeper.get(f"machines/{ids['big']}/"))["interface_set"][0]["mac_address"]

    async def machines(*filters: tuple[str, str]) -> set[str]:
        query = [("op", "query"), ("limit", "1000"), *filters]
        answer = await innkeeper.api.send("GET", "events/", query=query)
        assert answer.warnings == ()
        return {event["node"] for event in answer.json()["events"]}

    for selects_big in (("hostname", "big"), ("owner", "ann"), ("mac_address", mac.upper()), ("id", ids["big"])):
        assert await machines(selects_big) == {ids["big"]}, selects_big
    assert await machines(("zone", "default")) == await machines(("domain", "maas")) == set(ids.values())
    assert await machines(("hostname", "big"), ("id", ids["small"])) == set()
    assert await machines(("agent_name", "juju")) == set()
    unknown = await invalid_fields(innkeeper.get("events/?op=query&domain=other"))
    assert unknown["domain"] == ["There is no domain 'other'; there is maas."]


async def test_machines_are_selected_by_their_disks_and_nics(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    for name, storage in (("b", "8,10"), ("a", "15"), ("c", "9,11,12")):
        await innkeeper.compose(host["id"], hostname=name, storage=storage)
    fabric = (await innkeeper.get("machines/b/"))["interface_set"][0]["vlan"]["fabric"]
    assert await names(innkeeper, ("storage", "0,10")) == ["b", "c"]
    assert await names(innkeeper, ("storage", "root:9,data:10(default),11")) == ["c"]
    assert await names(innkeeper, ("storage", "0,10(no-such-pool)")) == []
    assert await names(innkeeper, ("interfaces", f"any:fabric={fabric}")) == ["b", "a", "c"]
    assert await names(innkeeper, ("interfaces", f"any:not_fabric={fabric}")) == []
    assert await names(innkeeper, ("interfaces", f"any:fabric={fabric};more:fabric={fabric}")) == []
    assert await names(innkeeper, ("storage", "0,10"), ("interfaces", f"any:fabric={fabric}"), ("not_id", "c")) == [
        "b",
        "c",
    ]


async def test_a_page_of_machines_with_such_disks_has_only_those(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    for name, storage in (("d", "8,10"), ("a", "15"), ("c", "8,10"), ("b", "8,10")):
        await innkeeper.compose(host["id"], hostname=name, storage=storage)
    first = await names(innkeeper, ("storage", "0,10"), ("limit", 2))
    second = await names(innkeeper, ("storage", "0,10"), ("limit", 2), ("after", first[-1]))
    assert (first, second) == (["b", "c"], ["d"])


@pytest.mark.slow
async def test_a_position_alone_cuts_the_list_too(innkeeper: Deployment) -> None:
    await two_machines(innkeeper)
    assert await names(innkeeper, ("after", "big")) == ["small"]


@pytest.mark.parametrize(
    ("field", "constraint", "message"),
    [
        ("storage", "much", "Malformed"),
        ("interfaces", "x", "names no NIC"),
        ("interfaces", "a:space=nowhere", "there is no space"),
        ("deployment_target", "tape", "disk, memory"),
        ("not_cpu_count", "many", "whole number"),
        ("zone", "nowhere", "No such zone: 'nowhere'. There is default."),
        ("not_in_zone", "7", "No such zone: '7'."),
        ("pool", "nowhere", "No such pool: 'nowhere'. There is default."),
        ("not_in_pool", "nowhere", "No such pool: 'nowhere'."),
        ("tags", "typo", "No such tag(s): 'typo'."),
        ("not_tags", "typo", "No such tag(s): 'typo'."),
        ("pod", "nowhere", "There is no VM host 'nowhere'"),
        ("not_pod", "99", "There is no VM host 99"),
        ("pod_type", "xen", "'xen' is not one of: "),
        ("not_pod_type", "lxc", "'lxc' is not one of: lxd"),
        ("arch", "amd46", "Architecture not recognised: 'amd46' is not one of: "),
        ("not_arch", "arm46/generic", "Architecture not recognised: 'arm46'"),
        ("power_state", "of", "'of' is not one of: off"),
        ("not_power_state", "running", "'running' is not one of: "),
        ("simple_status", "asleep", "'asleep' is not one of: "),
        ("not_simple_status", "asleep", "'asleep' is not one of: "),
        ("domain", "other", "There is no domain 'other'; there is maas."),
        ("not_domain", "other", "There is no domain 'other'"),
        ("status", "asleep", "'asleep' is not one of: "),
        ("not_status", "23", "'23' is not one of: "),
        ("mac_address", "52:54:00", "is not a MAC address"),
        ("vlans", "vid:4095", "is not a VID"),
        ("not_vlans", "name:lan", "There is no VLAN"),
        ("subnets", "cidr:10.1.0.0", "is not a CIDR"),
        ("not_subnets", "id:999", "There is no subnet"),
        ("fabrics", "class:10g", "There is no fabric"),
        ("fabric_classes", "10g", "There is no class of fabrics"),
    ],
)
async def test_a_filter_that_is_malformed_or_names_nothing_is_an_error(
    innkeeper: Deployment, field: str, constraint: str, message: str
) -> None:
    fields = await invalid_fields(innkeeper.api.send("GET", "machines/", query=[(field, constraint)]))
    assert message in fields[field][0]


async def test_filters_show_no_machine_of_another_pool(innkeeper: Deployment) -> None:
    ids = await two_machines(innkeeper)
    await innkeeper.post("resourcepools/", name="hidden")
    await innkeeper.put(f"machines/{ids['big']}/", pool="hidden")
    assert await names(await as_user(innkeeper, "ann"), ("cpu_count", 1)) == ["small"]


@pytest.mark.database
async def test_every_trait_is_wanted_or_excluded_by_itself(database: Database, database_url: str) -> None:
    """Whatever the trait, a value that nothing has selects none, and its exclusion all."""
    await prefill(database_url, hosts=1, machines_each=3)
    await execute(database, "update machine set owner_id = null")
    async with database.connection() as db:
        for name in Traits.__attrs_attrs__:
            nothing = Traits(**{name.name: ("nothing has this",)})
            wanted = MachineFilter(criteria=MachineCriteria(wanted=nothing))
            excluded = MachineFilter(criteria=MachineCriteria(excluded=nothing), limit=10)
            assert await list_machines(db, wanted) == (), name
            assert len(await machine_ids(db, excluded)) == 3, name

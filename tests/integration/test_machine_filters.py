"""Filters of `machines/`: what MAAS's clients select machines by, and exclude."""

from __future__ import annotations

from typing import Any

import pytest

from regiond.db.pool import Database
from regiond.machines.model import MachineCriteria, MachineFilter, Traits
from regiond.machines.view_store import list_machines, machine_ids
from tests.bench.prefilled import prefill
from tests.database import execute
from tests.deployment.deployment import Deployment
from tests.integration.users import as_user, own


async def two_machines(innkeeper: Deployment) -> dict[str, str]:
    """`small` and `big`, each on a host of its own; the system id of each."""
    found = {}
    for name, size in (("small", {"cores": 1, "memory": 1024}), ("big", {"cores": 4, "memory": 4096})):
        host = await innkeeper.add_simulated(f"{name}-host")
        found[name] = str((await innkeeper.compose(host["id"], hostname=name, **size))["system_id"])
    return found


async def names(innkeeper: Deployment, *filters: tuple[str, Any]) -> list[str]:
    answer = await innkeeper.api.send("GET", "machines/", query=[(name, str(value)) for name, value in filters])
    assert answer.warnings == ()
    return [machine["hostname"] for machine in answer.json()]


async def test_machines_are_selected_by_what_they_have(innkeeper: Deployment) -> None:
    ids = await two_machines(innkeeper)
    await as_user(innkeeper, "ann")
    await own(innkeeper, ids["big"], "ann")
    await innkeeper.post("zones/", name="far")
    await innkeeper.put(f"machines/{ids['big']}/", zone="far")
    await innkeeper.post(f"machines/{ids['big']}/", op="power_on")
    hosts = {host["name"]: host["host"]["system_id"] for host in await innkeeper.get("vm-hosts/")}
    nic = (await innkeeper.get(f"machines/{ids['big']}/"))["interface_set"][0]
    for selects_big in (
        ("owner", "ann"), ("not_owner", "nobody"), ("cpu_count", 2), ("mem", "2048"), ("power_state", "on"),
        ("parent", hosts["big-host"]), ("system_id", ids["big"]), ("not_id", ids["small"]), ("not_hostname", "SMALL"),
        ("not_in_zone", "default"), ("not_pod", "small-host"), ("not_power_state", "off"), ("not_status", "ready"),
    ):  # fmt: skip
        expected = ["small", "big"] if selects_big == ("not_owner", "nobody") else ["big"]
        assert await names(innkeeper, selects_big) == expected, selects_big
    for selects_both in (
        ("arch", "amd64/generic"), ("not_arch", "arm64"), ("not_in_pool", "none"), ("not_pod_type", "lxd"),
        ("vlans", nic["vlan"]["id"]), ("fabrics", nic["vlan"]["fabric"]), ("not_osystem", "ubuntu"),
        ("not_mac_address", "52:54:00:00:00:00"), ("not_agent_name", "juju"), ("not_subnets", "10.99.0.0/16"),
    ):  # fmt: skip
        assert await names(innkeeper, selects_both) == ["small", "big"], selects_both
    for selects_none in (
        ("owner", "nobody"), ("cpu_count", 5), ("pod_type", "lxd"), ("osystem", "ubuntu"), ("not_domain", "maas"),
        ("distro_series", "noble"), ("subnets", "10.99.0.0/16"), ("link_speed", 1000), ("devices", "vendor_id=8086"),
        ("not_vlans", nic["vlan"]["id"]), ("not_in_pool", "default"),
    ):  # fmt: skip
        assert await names(innkeeper, selects_none) == [], selects_none


async def test_filters_combine(innkeeper: Deployment) -> None:
    ids = await two_machines(innkeeper)
    assert await names(innkeeper, ("id", ids["small"]), ("id", ids["big"]), ("cpu_count", 2)) == ["big"]
    assert await names(innkeeper, ("id", ids["small"]), ("cpu_count", 2)) == []
    assert await names(innkeeper, ("limit", 1), ("not_hostname", "big")) == ["small"]


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

"""What machines and hosts use: from the hypervisor through rack and region to the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK
from tests.support.waiting import eventually

EVERY_S = 0.5


async def measuring(innkeeper: Deployment, name: str = "sim") -> int:
    """Returns a host whose usage the rack measures."""
    await innkeeper.stop_rack()
    innkeeper.in_process.usage_interval_s = EVERY_S
    await innkeeper.start_rack(RACK)
    host: int = (await innkeeper.add_simulated(name, cores=8, memory_mib=16384))["id"]
    await eventually(lambda: host in innkeeper.region.components.link_supervisor.watched)
    return host


async def usage_of(innkeeper: Deployment, path: str, **query: str) -> Any:
    return (await innkeeper.send("GET", path, query=[("op", "usage"), *query.items()])).json()


async def measured(innkeeper: Deployment, path: str) -> Any:
    async def found() -> Any:
        answer = await usage_of(innkeeper, path)
        return answer if answer["cpu_percent"] is not None else None

    return await eventually(found)


@pytest.mark.slow  # waits for the region's round of watches and for samples
async def test_a_busy_vm_shows_its_cpu_and_a_host_all_of_it(innkeeper: Deployment) -> None:
    host = await measuring(innkeeper)
    machine = await innkeeper.compose(host, hostname="busy", cores=4, memory=2048, power_on="true")
    found = await measured(innkeeper, f"machines/{machine['system_id']}/")
    assert found["cores"] == 4
    assert 50 < found["cpu_percent"] <= 100  # 95, but for the time between two clocks
    assert (found["memory"], found["reason"], found["history"]) == (2048, "", None)
    assert 0 < found["memory_used"] <= 2048
    assert found["disk_read"] > 1_000_000
    of_host = await measured(innkeeper, f"vm-hosts/{host}/")
    assert 25 < of_host["cpu_percent"] < 55  # four of eight cores
    assert {"cpu_percent", "disk_read"} <= set(of_host["sums_of_guests"])
    assert "memory_used" not in of_host["sums_of_guests"]


@pytest.mark.slow
async def test_the_history_has_all_samples(innkeeper: Deployment) -> None:
    host = await measuring(innkeeper)
    machine = await innkeeper.compose(host, hostname="web", cores=1, memory=1024, power_on="true")
    path = f"machines/{machine['system_id']}/"

    async def history() -> Any:
        found = (await usage_of(innkeeper, path, history="true"))["history"]
        return found if found and len(found["ages"]) > 2 else None

    found = await eventually(history)
    assert {len(values) for values in found.values()} == {len(found["ages"])}
    assert found["ages"][-1] == 0
    assert found["ages"] == sorted(found["ages"], reverse=True)
    of_host = await usage_of(innkeeper, f"vm-hosts/{host}/", history="true")
    assert len(of_host["history"]["cpu_percent"]) >= len(found["ages"])


@pytest.mark.slow
async def test_a_vm_that_is_off_says_so(innkeeper: Deployment) -> None:
    host = await measuring(innkeeper)
    machine = await innkeeper.compose(host, hostname="web", cores=1, memory=1024)
    found = await usage_of(innkeeper, f"machines/{machine['system_id']}/")
    assert (found["sampled_at"], found["cpu_percent"], found["reason"]) == (None, None, "web is off.")


async def test_without_a_rack_that_measures_the_reason_is_given(innkeeper: Deployment) -> None:
    host = (await innkeeper.add_simulated())["id"]
    found = await usage_of(innkeeper, f"vm-hosts/{host}/", history="true")
    assert found["reason"] == "No rack has measured VM host sim since it was connected."
    assert (found["cpu_percent"], found["history"]) == (None, None)


@pytest.mark.slow  # waits for the region's round of watches and for samples
async def test_a_new_vm_does_not_show_the_past_of_an_old_one(innkeeper: Deployment) -> None:
    host = await measuring(innkeeper)
    old = await innkeeper.compose(host, hostname="web", cores=1, memory=1024, power_on="true")
    await measured(innkeeper, f"machines/{old['system_id']}/")
    await innkeeper.send("DELETE", f"machines/{old['system_id']}/")
    new = await innkeeper.compose(host, hostname="web", cores=1, memory=1024, power_on="true")
    path = f"machines/{new['system_id']}/"
    await measured(innkeeper, path)
    (row,) = await innkeeper.fetch("select created_at from machine where system_id = $1", new["system_id"])
    found = await usage_of(innkeeper, path, history="true")
    oldest = datetime.fromisoformat(found["sampled_at"]) - timedelta(seconds=found["history"]["ages"][0])
    assert oldest >= row["created_at"] - timedelta(seconds=1)

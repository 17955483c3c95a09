"""A machine that its release deletes stays readable until clients that wait for its release have read Ready."""

from __future__ import annotations

from typing import Any

from regiond.housekeeping.retention import Retention, RetentionPeriods
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import rows, sql
from tests.integration.support.users import as_user
from tests.support.rejections import rejected_status
from tests.support.waiting import eventually


async def released(innkeeper: Deployment, user: Deployment) -> Any:
    """What `user` allocated, which composed it, and released: it is gone."""
    if not await innkeeper.get("vm-hosts/"):
        await innkeeper.add_simulated(cores=8, networks="lan:10.1.0.0/24")
    machine = await user.post("machines/", op="allocate", cpu_count=1, mem=1024)
    assert await user.post("machines/", op="release", machines=machine["system_id"]) == [machine["system_id"]]
    await eventually(lambda: innkeeper.simulated_guests() == [])

    async def is_gone() -> bool:
        return bool(await innkeeper.get("machines/") == [])

    await eventually(is_gone)
    return machine


async def test_a_machine_that_its_release_deleted_is_read_as_ready(innkeeper: Deployment) -> None:
    machine = await released(innkeeper, innkeeper)
    path = f"machines/{machine['system_id']}/"
    for _ in range(2):
        found = await innkeeper.get(path)
        names = ("hostname", "cpu_count", "memory", "tag_names", "zone", "pool", "hardware_uuid", "architecture")
        assert {name: found[name] for name in names} == {name: machine[name] for name in names}
        shown = [found[name] for name in ("status", "status_name", "power_state", "owner", "pod", "ip_addresses")]
        assert shown == [4, "Ready", "off", None, None, []]
        assert [one["size"] for one in found["blockdevice_set"]] == [one["size"] for one in machine["blockdevice_set"]]
        assert found["interface_set"][0]["mac_address"] == machine["interface_set"][0]["mac_address"]
        assert set(found) <= set(machine)


async def test_nothing_can_be_done_with_a_machine_that_is_gone(innkeeper: Deployment) -> None:
    machine = await released(innkeeper, innkeeper)
    path = f"machines/{machine['system_id']}/"
    for op in ("power_on", "deploy", "release", "lock", "mark_broken"):
        assert await rejected_status(innkeeper.post(path, op=op)) == 404, op
    for attempt in (
        innkeeper.delete(path),
        innkeeper.put(path, description="x"),
        innkeeper.get(f"nodes/{machine['system_id']}/interfaces/"),
        innkeeper.get(f"machines/{machine['hostname']}/"),
    ):
        assert await rejected_status(attempt) == 404
    assert await innkeeper.get(f"machines/?id={machine['system_id']}") == []
    another = await innkeeper.post("machines/", op="allocate")
    assert another["system_id"] != machine["system_id"], "it is not allocated again"


async def test_it_is_readable_for_minutes_and_for_those_who_saw_it(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=8, networks="lan:10.1.0.0/24")
    ann, bob = await as_user(innkeeper, "ann"), await as_user(innkeeper, "bob")
    machine = await released(innkeeper, ann)
    path = f"machines/{machine['system_id']}/"
    assert [(await one.get(path))["status_name"] for one in (innkeeper, ann, bob)] == ["Ready"] * 3
    for user in ("ann", "bob"):
        await innkeeper.post("resourcepool/default/", op="revoke", user=user)
    assert (await ann.get(path))["status_name"] == "Ready", "it was hers"
    assert await rejected_status(bob.get(path)) == 404
    await sql(innkeeper, "update released_machine set released_at = now() - interval '6 minutes'")
    assert await rejected_status(innkeeper.get(path)) == 404
    again = await released(innkeeper, innkeeper)
    kept = await rows(innkeeper, "select system_id from released_machine")
    assert kept == [(again["system_id"],)], "older rows are deleted"


async def test_the_last_one_is_deleted_by_the_retention(innkeeper: Deployment) -> None:
    machine = await released(innkeeper, innkeeper)
    retention = Retention(innkeeper.region.components.database, RetentionPeriods())
    assert (await retention.prune())["released_machines"] == 0
    assert (await innkeeper.get(f"machines/{machine['system_id']}/"))["status_name"] == "Ready"
    await sql(innkeeper, "update released_machine set released_at = now() - interval '6 minutes'")
    assert (await retention.prune())["released_machines"] == 1
    assert await rows(innkeeper, "select system_id from released_machine") == []


async def test_a_deleted_machine_is_gone_at_once(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8)
    system_id = (await innkeeper.compose(host["id"]))["system_id"]
    await innkeeper.delete(f"machines/{system_id}/")
    assert await rejected_status(innkeeper.get(f"machines/{system_id}/")) == 404
    assert await rows(innkeeper, "select 1 from released_machine") == []

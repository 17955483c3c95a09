"""Kept disks of a removed host: their volumes stay there, and they are kept disks again when the host returns."""

from __future__ import annotations

from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_changed_disks import events
from tests.integration.support.adoption import kinds_of_events, refresh, rows
from tests.integration.support.discrepancies import kinds_after_refresh
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user


async def kept_twice(innkeeper: Deployment) -> tuple[Any, list[Any]]:
    """Returns a host, and its kept disks: one that Innkeeper made, and one that it adopted."""
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="vm", storage="root:8,data:5")
    path = f"machines/{machine['system_id']}/"
    rows(innkeeper, "insert into volume values ('default', 'extra', 3000000000, null, null)")
    rows(innkeeper, "insert into disk select guest_id, 7, 'default', 'extra', 'x1' from guest")
    await refresh(innkeeper, host)
    await innkeeper.post(path, op="adopt_disk", disk="sdc")
    for disk in ("sdb", "sdc"):
        await innkeeper.post(path, op="remove_disk", disk=disk, keep="true")
    await refresh(innkeeper, host)
    return host, await innkeeper.get("kept-disks/")


async def removed(innkeeper: Deployment, host: Any, **how: str) -> Any:
    """Returns the effects of the removal, which is carried out."""
    path = f"vm-hosts/{host['id']}/"
    plan = (await innkeeper.delete(path, dry_run="true", **how)).json()
    await innkeeper.delete(path, **how)
    assert await innkeeper.get("kept-disks/") == []
    return plan["effects"]


def without_host(disks: list[Any]) -> list[Any]:
    names = ("id", "volume", "size", "owner", "hostname", "is_listed", "kept_at")
    return [{name: disk[name] for name in names} for disk in disks]


async def test_kept_disks_return_with_their_host(innkeeper: Deployment) -> None:
    host, before = await kept_twice(innkeeper)
    effects = await removed(innkeeper, host)
    assert any(effect.startswith("Kept disks stay on the host as volumes (2), and return") for effect in effects)
    (removal,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "remove_host"]
    assert len(removal["result"]["kept_disks"]) == 2
    again = await innkeeper.add_simulated()
    after = await innkeeper.get("kept-disks/")
    assert without_host(after) == without_host(before)
    assert [text.split(":")[0] for text in await events(innkeeper, "kept_disks_restored")] == [
        "2 kept disks returned with sim"
    ]
    (machine,) = await innkeeper.get("machines/")
    await innkeeper.post(f"machines/{machine['system_id']}/", op="attach_disk", kept_disk=after[0]["id"])
    await refresh(innkeeper, again)
    assert len(await innkeeper.get("kept-disks/")) == 1


async def test_kept_disks_return_after_a_removal_by_force(innkeeper: Deployment) -> None:
    host, before = await kept_twice(innkeeper)
    with innkeeper.simulated().down():
        await removed(innkeeper, host, force="true")
    await innkeeper.add_simulated()
    assert without_host(await innkeeper.get("kept-disks/")) == without_host(before)


async def test_another_server_gives_back_only_names_that_are_given_out_once(innkeeper: Deployment) -> None:
    host, before = await kept_twice(innkeeper)
    await removed(innkeeper, host)
    await sql(innkeeper, "update detached_disk set server_identity = 'that of an old certificate'")
    await innkeeper.add_simulated()
    (kept,) = await innkeeper.get("kept-disks/")
    assert kept["volume"] == before[0]["volume"]
    assert "kept_disks_restored" in await kinds_of_events(innkeeper)


async def test_the_volume_of_a_detached_disk_is_not_removed(innkeeper: Deployment) -> None:
    host, before = await kept_twice(innkeeper)
    await removed(innkeeper, host, decompose="true")
    await sql(innkeeper, "update detached_disk set project = 'of another project'")
    assert await kinds_after_refresh(innkeeper, await innkeeper.add_simulated()) == ["orphaned_volume"]
    found = [one for one in await innkeeper.get("discrepancies/") if before[0]["volume"] in str(one)]
    assert [one["repair_policy"] for one in found] == ["none"]
    assert "a disk that was kept on sim, which was removed" in str(found)


async def test_a_user_who_has_a_detached_disk_gives_it_away(innkeeper: Deployment) -> None:
    host, _ = await kept_twice(innkeeper)
    await as_user(innkeeper, "olaf")
    await sql(
        innkeeper,
        "update kept_disk set (account_id, owner_id) = (select id, id from account where username = 'olaf')",
    )
    await removed(innkeeper, host)
    await innkeeper.delete("users/olaf/", transfer_resources_to="admin")
    await innkeeper.add_simulated()
    assert {disk["owner"] for disk in await innkeeper.get("kept-disks/")} == {"admin"}

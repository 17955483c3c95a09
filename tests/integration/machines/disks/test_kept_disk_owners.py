"""A kept disk belongs to whoever had its machine: nobody else of the resource pool attaches or deletes it."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import WrongState
from tests.browser.support.fleet import PASSWORD
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_disk_changes import GB, add, attached, composed, path, remove, sizes, volumes
from tests.integration.pages.machines.test_web_disks import UI, client
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.users import as_user
from tests.integration.support.web_client import WebClient
from tests.support.rejections import rejected_status, rejection

__all__ = ["client"]
REQUESTS: tuple[dict[str, Any], ...] = ({}, {"dry_run": "true"})


async def kept_by(user: Deployment, name: str = "web") -> Any:
    """Returns the kept disk of a machine that the user composed, and that has no owner."""
    machine = await composed(user, name)
    await add(user, machine)
    await remove(user, machine, keep="true")
    (kept,) = await user.get("kept-disks/")
    return kept


async def refused(innkeeper: Deployment, user: Deployment, kept: Any) -> None:
    """Asserts that the user, an operator of the pool, sees the disk, and neither attaches nor deletes it."""
    mine = await composed(user, "mine")
    assert [one["id"] for one in await user.get("kept-disks/")] == [kept["id"]]
    for fields in REQUESTS:
        attach = user.post(path(mine), op="attach_disk", kept_disk=kept["id"], **fields)
        assert await rejected_status(attach) == 403
        assert await rejected_status(user.delete(f"kept-disks/{kept['id']}/", **fields)) == 403
    assert [one["id"] for one in await innkeeper.get("kept-disks/")] == [kept["id"]]
    assert attached(innkeeper, "mine") == 1
    assert len(volumes(innkeeper)) == len(await innkeeper.get("machines/")) + 1


async def forget_account(innkeeper: Deployment, name: str) -> None:
    """Deletes an account as releases before this one did: what it had belongs to no account."""
    async with innkeeper.connection() as db:
        await db.execute("delete from account where username = $1", name)


async def test_another_operator_does_not_use_the_kept_disk_of_a_user(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=32768)
    ann, joe = await as_user(innkeeper, "ann"), await as_user(innkeeper, "joe")
    kept = await kept_by(ann)
    assert kept["owner"] == "ann"
    await refused(innkeeper, joe, kept)
    other = await composed(ann, "db")
    await ann.post(path(other), op="attach_disk", kept_disk=kept["id"])
    assert await sizes(ann, other) == [("sda", 8 * GB), ("sdb", 5 * GB)]
    await remove(ann, other, keep="true")
    (again,) = await ann.get("kept-disks/")
    await ann.delete(f"kept-disks/{again['id']}/")
    assert await innkeeper.get("kept-disks/") == []


async def test_a_kept_disk_without_account_is_for_administrators(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=32768)
    ann, joe = await as_user(innkeeper, "ann"), await as_user(innkeeper, "joe")
    kept = await kept_by(ann)
    await forget_account(innkeeper, "ann")
    await refused(innkeeper, joe, kept)
    assert "administrators" in (await rejection(joe.delete(f"kept-disks/{kept['id']}/"))).message
    await innkeeper.delete(f"kept-disks/{kept['id']}/")


async def test_a_new_user_with_an_old_name_gets_no_kept_disk(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of a failed attach is kept again for the account that had it, not for one with its name."""
    await innkeeper.add_simulated(cores=16, memory_mib=32768)
    ann = await as_user(innkeeper, "ann")
    machine, other = await composed(ann), await composed(innkeeper, "db")
    await ann.post("machines/", op="allocate", name="web")
    await add(ann, machine)
    await remove(ann, machine, keep="true")
    (kept,) = await ann.get("kept-disks/")

    def refuse(*_: object, **__: object) -> None:
        raise WrongState("the guest uses it")

    monkeypatch.setattr("rackd.drivers.simulated.disks.disk_changes._attach", refuse)
    with innkeeper.held("attach disk"):
        attach = await innkeeper.begin(path(other), op="attach_disk", kept_disk=kept["id"])
        await forget_account(innkeeper, "ann")
        another_ann = await as_user(innkeeper, "ann")
    assert await innkeeper.ended(attach) == "failed"
    await refused(innkeeper, another_ann, kept)


async def test_no_page_offers_the_kept_disk_of_somebody_else(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated(cores=16, memory_mib=32768)
    ann, joe = await as_user(innkeeper, "ann"), await as_user(innkeeper, "joe")
    kept, other = await kept_by(ann), await composed(joe, "db")
    await innkeeper.put("users/joe/", password=PASSWORD)
    await client.log_in("joe", PASSWORD)
    resources = (await client.get(f"{UI}hosts/{host['id']}/resources")).text
    deletion = f"hosts/{host['id']}/kept-disks/{kept['id']}/delete"
    assert ("data of web" in resources or "disk of web" in resources, deletion in resources) == (True, False)
    assert (await client.get(UI + deletion)).status == 403
    attach = f"vms/{other['system_id']}/storage/attach"
    shown = await client.get(UI + attach)
    assert ("You do not own the disk of web. It belongs to ann." in shown.text) is True
    answer = await client.post(UI + attach, None, csrf=shown.csrf, kept_disk=str(kept["id"]))
    assert answer.status == 403
    assert attached(innkeeper, "db") == 1


async def test_a_disk_that_somebody_attached_on_its_host_stays_with_its_account(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=16, memory_mib=32768)
    ann, joe = await as_user(innkeeper, "ann"), await as_user(innkeeper, "joe")
    kept = await kept_by(ann)
    mine = await composed(joe, "db")
    guest = "(select guest_id from guest where name = 'db')"
    rows(innkeeper, f"insert into disk select {guest}, 7, 'default', ?, 'x1'", kept["volume"])
    await refresh(innkeeper, host)
    assert [name for name, _ in await sizes(innkeeper, mine)] == ["sda", "sdb"]
    assert await rejected_status(joe.post(path(mine), op="adopt_disk", disk="sdb")) == 403
    assert [one["id"] for one in await ann.get("kept-disks/")] == [kept["id"]]

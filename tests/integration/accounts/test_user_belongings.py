"""What a user owns when the account is deleted: named, and given to a user who can use it, or to administrators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidRequest
from tests.deployment.deployment import Deployment
from tests.integration.accounts.test_quotas import used
from tests.integration.audit.test_audit_api import trail
from tests.integration.images.test_exports import download, export
from tests.integration.images.test_image_upload_command import logged_in
from tests.integration.machines.disks.test_disk_changes import add, composed, events, path, remove
from tests.integration.support.users import as_user
from tests.support.rejections import rejected_status, rejection
from tests.unit.command.processes import on_terminal

ANN = "users/ann/"
ALL = (
    "1 machine (mine), 1 device (printer), 1 file (state), 1 machine without owner (made), "
    "1 kept disk (disk of made) and 1 export (made)"
)
LEFT = "1 machine without owner (made), 1 kept disk (disk of made) and 1 export (made)"


async def with_leavable(innkeeper: Deployment, user: Deployment) -> Any:
    """Returns a machine without owner that the user composed, of which it has a kept disk and an export."""
    await innkeeper.add_simulated(cores=16, memory_mib=32768)
    made = await composed(user, "made")
    for op in ("power_on", "power_off"):  # otherwise it is stock, which is nobody's
        await user.post(path(made), op=op)
    await add(user, made)
    await remove(user, made, keep="true")
    assert (await export(user, made))["state"] == "ready"
    return made


async def with_all(innkeeper: Deployment, user: Deployment) -> Any:
    """As `with_leavable`, and something of each kind that needs an owner."""
    made = await with_leavable(innkeeper, user)
    mine = await composed(user, "mine")
    await user.post("machines/", op="allocate", system_id=mine["system_id"])
    await user.post("devices/", mac_addresses="52:54:00:aa:00:01", hostname="printer")
    await user.post("files/", filename="state", file="content")
    return made


async def reasons(attempt: Any) -> dict[str, Any]:
    """Returns the reasons of a 400 by field."""
    error = await rejection(attempt)
    assert isinstance(error, InvalidRequest), error
    return dict(error.fields)


async def test_a_deletion_names_all_that_the_user_owns(innkeeper: Deployment) -> None:
    ann = await as_user(innkeeper, "ann")
    await with_all(innkeeper, ann)
    for fields in ({}, {"dry_run": "true"}):
        error = await rejection(innkeeper.delete(ANN, **fields))
        assert error.details["status"] == 400
        assert error.message == (
            f"The user 'ann' cannot be deleted: it owns {ALL}. Name the new owner with transfer_resources_to=USER."
        )
    refused = await reasons(innkeeper.delete(ANN, leave_to_administrators="true"))
    assert "1 machine (mine), 1 device (printer) and 1 file (state)" in refused["leave_to_administrators"][0]
    assert (await ann.get("users/", op="whoami"))["username"] == "ann"


async def test_another_user_gets_all_of_it(innkeeper: Deployment) -> None:
    ann, bob, joe = [await as_user(innkeeper, name) for name in ("ann", "bob", "joe")]
    made = await with_all(innkeeper, ann)
    plan = (await innkeeper.delete(ANN, transfer_resources_to="bob", dry_run="true")).json()
    assert [one["kind"] for one in plan["kept"]] == [
        "machine", "device", "file", "machine without owner", "kept disk", "export"
    ]  # fmt: skip
    assert "bob gets 1 machine, 1 device, 1 file, 1 machine without owner, 1 kept disk and 1 export" in str(plan)
    assert (await ann.get("machines/mine/"))["owner"] == "ann", "a dry run changes nothing"
    await innkeeper.delete(ANN, transfer_resources_to="bob")
    assert (await bob.get("machines/mine/"))["owner"] == "bob"
    assert (await bob.get("devices/printer/"))["owner"] == "bob"
    assert (await bob.send("GET", "files/", op="get", query=[("filename", "state")])).body == b"content"
    (kept,), (made_of,) = await bob.get("kept-disks/"), await bob.get("exports/")
    assert (kept["owner"], made_of["owner"]) == ("bob", "bob")
    assert len((await download(bob, made_of)).body) == made_of["size"]
    assert await rejected_status(joe.get(f"exports/{made_of['id']}/")) == 404
    assert await rejected_status(joe.delete(f"kept-disks/{kept['id']}/")) == 403
    await bob.post(path(made), op="power_on")
    await bob.post(path(made), op="power_off")
    await bob.post(path(made), op="attach_disk", kept_disk=kept["id"])
    await bob.delete(path(made))


async def test_the_transfer_is_in_events_and_in_the_audit_trail(innkeeper: Deployment) -> None:
    ann = await as_user(innkeeper, "ann")
    await as_user(innkeeper, "bob")
    await with_all(innkeeper, ann)
    await innkeeper.delete(ANN, transfer_resources_to="bob")
    found = await innkeeper.region.components.services.events.list()
    (deleted,) = [one for one in found if one.kind == "user_deleted"]
    assert deleted.message.endswith("1 kept disk and 1 export went to 'bob'.")
    assert deleted.details["new_owner"] == "bob"
    assert {"kind": "kept disk", "id": "1", "name": "disk of made"} in deleted.details["owned"]
    assert sorted(await events(innkeeper, "machine_transferred")) == [
        "made went from ann to bob: the user ann was deleted.",
        "mine went from ann to bob: the user ann was deleted.",
    ]
    (entry,) = await trail(innkeeper, object="users/ann")
    assert (entry["result"], entry["fields"]["transfer_resources_to"]) == ("ok", "bob")


@pytest.mark.slow
async def test_the_command_names_it_and_asks(innkeeper: Deployment, tmp_path: Path) -> None:
    ann, bob = await as_user(innkeeper, "ann"), await as_user(innkeeper, "bob")
    await with_all(innkeeper, ann)
    home = tmp_path / "home"
    home.mkdir()
    await logged_in(innkeeper, home)
    refused = await on_terminal(home, "admin", "user", "delete", "ann", "--yes", given={})
    assert (refused.status, f"it owns {ALL}." in refused.out) == (1, True)
    command = ("user", "delete", "ann", "transfer_resources_to=bob")
    asked = await on_terminal(home, "admin", *command, given={"[y/N]": "y\n"})
    assert (asked.status, "keeps 6 records:" in asked.out, "kept disk disk of made" in asked.out) == (0, True, True)
    assert [one["owner"] for one in await bob.get("exports/")] == ["bob"]


async def test_what_nobody_gets_is_for_administrators_alone(innkeeper: Deployment) -> None:
    ann, joe = await as_user(innkeeper, "ann"), await as_user(innkeeper, "joe")
    made = await with_leavable(innkeeper, ann)
    error = await rejection(innkeeper.delete(ANN))
    assert f"it owns {LEFT}." in error.message
    assert "leave_to_administrators=true" in error.message
    await innkeeper.delete(ANN, leave_to_administrators="true")
    entry, _ = await trail(innkeeper, object="users/ann")
    assert (entry["result"], entry["fields"]["leave_to_administrators"]) == ("ok", "true")
    (kept,), (left,) = await innkeeper.get("kept-disks/"), await innkeeper.get("exports/")
    assert (kept["owner"], left["owner"]) == (None, None)
    mine = await composed(joe, "db")
    assert await rejected_status(joe.post(path(mine), op="attach_disk", kept_disk=kept["id"])) == 403
    assert await rejected_status(joe.delete(f"kept-disks/{kept['id']}/")) == 403
    assert await joe.get("exports/") == []
    for request in (download(joe, left), joe.delete(f"exports/{left['id']}/"), joe.post(path(made), op="power_on")):
        assert await rejected_status(request) in {403, 404}
    importing = joe.post(f"vm-hosts/{innkeeper.hosts['sim']}/", op="import", export=left["id"])
    assert await rejected_status(importing) in {400, 404}
    assert len((await download(innkeeper, left)).body) == left["size"]
    await innkeeper.delete(f"exports/{left['id']}/")
    await innkeeper.delete(f"kept-disks/{kept['id']}/")


async def test_nobody_gets_what_it_could_not_use(innkeeper: Deployment) -> None:
    ann = await as_user(innkeeper, "ann")
    await as_user(innkeeper, "bob")
    await with_leavable(innkeeper, ann)
    for op, role in (("grant", "viewer"), ("revoke", None)):
        fields = {"user": "bob"} if role is None else {"user": "bob", "role": role}
        await innkeeper.send("POST", "resourcepool/default/", op=op, fields=fields)
        refused = await reasons(innkeeper.delete(ANN, transfer_resources_to="bob"))
        assert refused["transfer_resources_to"] == [
            "'bob' is no operator of the resource pool 'default', and could not use 1 machine without owner (made) and "
            "1 kept disk (disk of made). Grant the role first: innkeeper resource-pool grant 0 user=bob role=operator"
        ]
    assert (await ann.get("kept-disks/"))[0]["owner"] == "ann"
    await innkeeper.delete(ANN, transfer_resources_to="admin")
    assert (await innkeeper.get("kept-disks/"))[0]["owner"] == "admin"


async def test_no_file_replaces_one_of_the_new_owner(innkeeper: Deployment) -> None:
    ann, bob = await as_user(innkeeper, "ann"), await as_user(innkeeper, "bob")
    for user, text in ((ann, "of ann"), (bob, "of bob")):
        await user.post("files/", filename="state", file=text)
    refused = await reasons(innkeeper.delete(ANN, transfer_resources_to="bob"))
    assert "'bob' has files of the same names: state." in refused["transfer_resources_to"][0]
    await bob.delete("files/state/")
    await innkeeper.delete(ANN, transfer_resources_to="bob")
    assert (await bob.send("GET", "files/", op="get", query=[("filename", "state")])).body == b"of ann"


@pytest.mark.parametrize(("limit", "status"), [({"machines": 1}, None), ({"machines": 0}, 403), ({"storage": 8}, 403)])
async def test_what_a_user_gets_counts_for_its_quota(
    innkeeper: Deployment, limit: dict[str, Any], status: int | None
) -> None:
    ann = await as_user(innkeeper, "ann")
    await as_user(innkeeper, "bob")
    await with_leavable(innkeeper, ann)
    await innkeeper.post("quotas/", user="bob", **limit)
    deletion = innkeeper.delete(ANN, transfer_resources_to="bob")
    if status is None:
        await deletion
        assert (await used(innkeeper))[0] == 1
    else:
        assert await rejected_status(deletion) == status
        assert (await ann.get("kept-disks/"))[0]["owner"] == "ann"


async def test_a_user_who_owns_nothing_is_deleted_without_a_question(innkeeper: Deployment) -> None:
    await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", user="ann", machines=1)
    plan = (await innkeeper.delete(ANN, dry_run="true")).json()
    assert [(one["kind"], one["name"]) for one in plan["deleted"]][-1] == ("quota", "ann")
    assert plan["kept"] == []
    await innkeeper.delete(ANN)
    assert [one["username"] for one in await innkeeper.get("users/")] == ["admin"]

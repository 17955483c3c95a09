"""ISO images: in the catalogue, copied to the host, in the drive of a machine, and booted from."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from regiond.db.pool import Db
from regiond.hosts.image_copies.store import removable_with_host
from regiond.machines.running.deployment.image_copy_store import unused_copies
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_boot_disk import messages
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.support.disk_images import checked, upload
from tests.support.rejections import rejected_status, rejection
from tests.support.waiting import eventually

INSTALLER, RESCUE = "custom/installer", "custom/rescue"
CONTENT = bytes(16 * 2048) + b"\x01CD001\x01" + bytes(2041 + 2048)
IN_STORE = """
    insert into image_copy (server_id, project, sha256, size_bytes, state)
    select server_id, 'default', $1, 1, 'complete' from vm_host
"""
LONG_UNUSED = "update image_copy set used_at = now() - interval '400 days', changed_at = used_at"
IN_DRIVES = "select sha256 from iso"


async def composed(innkeeper: Deployment, **fields: Any) -> Any:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web", **fields)
    return await innkeeper.get(path(machine))


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def insert(innkeeper: Deployment, machine: Any, image: str = INSTALLER, **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="insert_iso", image=image, **fields)


async def shown(innkeeper: Deployment, machine: Any) -> tuple[Any, Any]:
    found = await innkeeper.get(path(machine))
    return found["iso"], found["next_iso"]


def fields_of(error: InnkeeperError) -> str:
    return str(error.fields) if isinstance(error, InvalidRequest) else ""


async def isos(innkeeper: Deployment) -> tuple[str, str]:
    installer = await add_image(innkeeper, INSTALLER, content=CONTENT, filetype="iso")
    return installer, await add_image(innkeeper, RESCUE, content=CONTENT + b"r" * 512, filetype="iso")


@pytest.mark.parametrize("power_on", ["true", "false"])
async def test_an_image_is_inserted_replaced_and_ejected(innkeeper: Deployment, power_on: str) -> None:
    installer, rescue = await isos(innkeeper)
    machine = await composed(innkeeper, power_on=power_on)
    assert (machine["iso"], machine["next_iso"]) == (None, None)
    assert (await insert(innkeeper, machine, "installer"))["iso"] == INSTALLER
    assert rows(innkeeper, IN_DRIVES) == [(installer,)]
    await insert(innkeeper, machine, RESCUE)
    await refresh(innkeeper, machine["pod"])
    assert (await shown(innkeeper, machine), rows(innkeeper, IN_DRIVES)) == ((RESCUE, None), [(rescue,)])
    await innkeeper.post(path(machine), op="eject_iso")
    assert (await shown(innkeeper, machine), rows(innkeeper, IN_DRIVES)) == ((None, None), [])
    await refresh(innkeeper, machine["pod"])
    assert await shown(innkeeper, machine) == (None, None)
    assert await messages(innkeeper, "iso_inserted") == [
        f"web on sim has {RESCUE} in its drive", f"web on sim has {INSTALLER} in its drive"
    ]  # fmt: skip
    assert await messages(innkeeper, "iso_ejected") == [f"web on sim no longer has {RESCUE} in its drive"]


async def test_a_machine_boots_from_its_image_once(innkeeper: Deployment) -> None:
    await isos(innkeeper)
    machine = await composed(innkeeper)
    error = await rejection(innkeeper.post(path(machine), op="set_boot", order="iso", once="true"))
    assert "web has no ISO image in a drive" in error.message
    await insert(innkeeper, machine)
    answer = await innkeeper.post(path(machine), op="set_boot", order="iso,disk", once="true")
    assert answer["boot_once"] == ["iso", "disk"]
    await innkeeper.post(path(machine), op="power_on")
    assert rows(innkeeper, "select once from boot_order") == [("iso,disk",)]


async def test_a_copy_in_a_drive_is_not_collected(innkeeper: Deployment) -> None:
    await isos(innkeeper)
    machine = await composed(innkeeper)
    await insert(innkeeper, machine)
    async with innkeeper.connection() as db:
        await db.execute("update image_copy set used_at = now() - interval '400 days', changed_at = used_at")
        await db.execute("delete from image where name = $1", INSTALLER)
    async with innkeeper.connection() as db:
        assert await unused_copies(db, 30) == ()
    assert (await shown(innkeeper, machine))[0].startswith("image ")
    await innkeeper.post(path(machine), op="eject_iso")
    async with innkeeper.connection() as db:
        assert len(await unused_copies(db, 30)) == 1


async def test_a_copy_in_a_pool_of_lxd_is_collected_unless_it_was_unpacked(innkeeper: Deployment) -> None:
    installer, _ = await isos(innkeeper)
    machine = await composed(innkeeper)
    await insert(innkeeper, machine)
    await innkeeper.post(path(machine), op="eject_iso")
    host_id = machine["pod"]["id"]
    async with innkeeper.connection() as db:
        await db.execute("update image_copy set used_at = now() - interval '400 days', changed_at = used_at")
        await db.execute("update vm_host set driver = 'lxd', project = 'default'")
        found = [copy.sha256 for copy in await unused_copies(db, 30)]
        removed = [copy.sha256 for copy in await removable_with_host(db, host_id)]
        await db.execute(IN_STORE, installer)
        unpacked = [copy.pool_id for copy in await unused_copies(db, 30) if copy.pool_id]
        removed_now = [copy.pool_id for copy in await removable_with_host(db, host_id)]
        await db.execute("update vm_host set driver = 'simulated', project = ''")
    assert (found, removed) == ([installer], [installer])
    assert (unpacked, removed_now) == ([], [""])


async def test_members_of_a_cluster_may_share_the_pool_of_a_copy(innkeeper: Deployment) -> None:
    await isos(innkeeper)
    web, other = await composed_in_cluster(innkeeper)
    await innkeeper.post(path(other), op="eject_iso")
    async with innkeeper.connection() as db:
        await db.execute(LONG_UNUSED)
        assert await unused_in_cluster(db) == [], "the guest of the first member may have it"
    await innkeeper.post(path(web), op="eject_iso")
    async with innkeeper.connection() as db:
        assert await unused_in_cluster(db) == ["sim", "sim2"]


async def test_a_copy_in_the_pool_of_a_member_does_not_stay_for_another(innkeeper: Deployment) -> None:
    await isos(innkeeper)
    machines = await composed_in_cluster(innkeeper)
    for machine in machines:
        await innkeeper.post(path(machine), op="eject_iso")
    async with innkeeper.connection() as db:
        await db.execute(LONG_UNUSED)
        await db.execute(
            "update image_copy c set used_at = now() from vm_host h where h.name = 'sim' and h.server_id = c.server_id"
        )
        assert await unused_in_cluster(db) == ["sim2"]


async def composed_in_cluster(innkeeper: Deployment) -> tuple[Any, Any]:
    """Returns two machines with the image in their drives, each on a host of its own."""
    web = await composed(innkeeper)
    host = await innkeeper.add_simulated("sim2")
    other = await innkeeper.compose(host["id"], hostname="web2")
    for machine in (web, other):
        await insert(innkeeper, machine)
    return web, other


async def unused_in_cluster(db: Db) -> list[str]:
    """Returns the hosts whose copies may be removed, if the hosts are members of a cluster."""
    await db.execute(
        "with made as (insert into cluster (name, identity, project) values ('c', 'c', 'default') returning id) "
        "update vm_host set cluster_id = made.id, member = name, driver = 'lxd', project = 'default' from made"
    )
    found = [copy.host_name for copy in await unused_copies(db, 30)]
    await db.execute("update vm_host set cluster_id = null, member = null, driver = 'simulated', project = ''")
    await db.execute("delete from cluster")
    return sorted(found)


async def test_a_dry_run_changes_nothing(innkeeper: Deployment) -> None:
    await isos(innkeeper)
    machine = await composed(innkeeper)
    plan = await insert(innkeeper, machine, dry_run="true")
    assert plan["effects"][1] == f"web gets {INSTALLER} in its drive, now."
    plan = await innkeeper.post(path(machine), op="eject_iso", dry_run="true")
    assert plan["effects"] == ["web has no ISO image in its drive."]
    assert (await shown(innkeeper, machine), rows(innkeeper, IN_DRIVES)) == ((None, None), [])


async def test_images_of_disks_and_iso_images_are_not_confused(innkeeper: Deployment) -> None:
    await isos(innkeeper)
    await add_image(innkeeper, "custom/disk")
    machine = await composed(innkeeper)
    error = await rejection(insert(innkeeper, machine, "custom/disk"))
    assert INSTALLER in fields_of(error)
    await innkeeper.post("machines/", op="allocate", name="web")
    error = await rejection(innkeeper.post(path(machine), op="deploy", distro_series=INSTALLER))
    assert "is an ISO image" in fields_of(error)
    assert await innkeeper.ended(await innkeeper.begin(path(machine), op="deploy")) == "succeeded"  # the only disk


@pytest.mark.parametrize(
    ("content", "filetype", "said"),
    [
        (CONTENT, "iso", ""),
        (CONTENT, "", "Add it with filetype=iso"),
        (bytes(40960), "iso", "is no ISO image"),
        (CONTENT[:-1], "iso", "is cut off"),
    ],
)
async def test_the_content_is_checked(innkeeper: Deployment, content: bytes, filetype: str, said: str) -> None:
    fields: dict[str, Any] = {"name": INSTALLER, "architecture": "amd64/generic", "filetype": filetype}
    entry = await checked(innkeeper, await upload(innkeeper, content, **fields))
    assert entry["state"] == ("failed" if said else "ready")
    assert said in (entry["error"] or "")


async def test_a_cancelled_insertion_leaves_the_drive_as_it_was(innkeeper: Deployment) -> None:
    installer, _ = await isos(innkeeper)
    machine = await composed(innkeeper)
    await insert(innkeeper, machine)
    with innkeeper.held("copy image"):
        operation = await innkeeper.begin(path(machine), op="insert_iso", image=RESCUE)
        await eventually(innkeeper.simulated().is_holding)
        await innkeeper.cancel(operation)
    assert await innkeeper.ended(operation) == "cancelled"
    assert (await shown(innkeeper, machine), rows(innkeeper, IN_DRIVES)) == ((INSTALLER, None), [(installer,)])


async def test_an_image_deleted_during_its_insertion_is_copied_to_its_end(innkeeper: Deployment) -> None:
    installer, _ = await isos(innkeeper)
    machine = await composed(innkeeper)
    content = innkeeper.in_process.settings.state / "images" / "sha256" / installer
    ((image_id,),) = await innkeeper.fetch("select id from image where name = $1", INSTALLER)
    with innkeeper.held("find image"):
        operation = await innkeeper.begin(path(machine), op="insert_iso", image=INSTALLER)
        await eventually(innkeeper.simulated().is_holding)
        await innkeeper.delete(f"boot-resources/{image_id}/")
        await innkeeper.region.components.image_tasks.clean_up()
        assert content.exists()
    assert await innkeeper.ended(operation) == "succeeded"
    assert rows(innkeeper, IN_DRIVES) == [(installer,)]
    await innkeeper.region.components.image_tasks.clean_up()
    assert not content.exists()


async def test_only_who_may_use_a_machine_changes_its_drive(innkeeper: Deployment) -> None:
    await isos(innkeeper)
    machine = await composed(innkeeper)
    ann, ben = await as_user(innkeeper, "ann"), await as_user(innkeeper, "ben")
    await ann.post("machines/", op="allocate", name="web")
    assert await rejected_status(insert(ben, machine)) == 403
    assert await rejected_status(ben.post(path(machine), op="eject_iso")) == 403
    await insert(ann, machine)
    assert (await shown(innkeeper, machine))[0] == INSTALLER

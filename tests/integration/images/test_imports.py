"""Files of VMs that become new machines: their content, owner, claims and networks, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import struct
import tarfile
from typing import Any

import pytest

from regiond.db.pool import Db
from regiond.exports.reading import DiskParts
from regiond.machines.arrivals.compose.service import Composer
from tests.deployment.deployment import Deployment
from tests.integration.images.test_exports import CONTENT, composed, download, export, files, upload
from tests.integration.machines.disks.test_disk_changes import events, path
from tests.integration.support.adoption import rows
from tests.integration.support.users import as_user, own
from tests.support.rejections import invalid_fields, rejected_status, rejection
from tests.support.waiting import eventually

GB = 10**9


async def imported(innkeeper: Deployment, made: Any, **fields: Any) -> Any:
    """Returns the new machine, when it is complete."""
    fields.setdefault("hostname", "copy")
    found = await innkeeper.post(f"vm-hosts/{innkeeper.hosts['sim']}/", op="import", export=made["id"], **fields)

    async def done() -> Any:
        machine = await innkeeper.get(f"machines/{found['system_id']}/")
        return machine if machine["status_name"] not in ("Composing", "Commissioning") else None

    return await eventually(done) if "system_id" in found else found


def written(innkeeper: Deployment, name: str) -> dict[int, bytes]:
    """The bytes at the places of CONTENT on the disks of a guest, by their number there."""
    found = {}
    disks = rows(
        innkeeper,
        "select pool, volume from disk join guest using (guest_id) where name = ? order by position",
        name,
    )
    for number, (index, at, data) in enumerate(CONTENT):
        content = bytearray(len(data))
        for start, part in rows(innkeeper, "select at, data from content where pool = ? and volume = ?", *disks[index]):
            for place in range(max(at, start), min(at + len(data), start + len(part))):
                content[place - at] = part[place - start]
        found[number] = bytes(content)
    return found


ALL = {number: data for number, (_, _, data) in enumerate(CONTENT)}


@pytest.mark.slow
async def test_a_file_becomes_a_machine_with_the_same_content(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    made = await export(innkeeper, machine)
    new = await imported(innkeeper, made)
    assert (new["hostname"], new["status_name"], new["owner"]) == ("copy", "Allocated", "admin")
    assert (new["cpu_count"], new["memory"], [disk["size"] for disk in new["blockdevice_set"]]) == (
        2, 2048, [8 * GB, 5 * GB],
    )  # fmt: skip
    assert written(innkeeper, "copy") == ALL
    assert new["interface_set"][0]["mac_address"] != machine["interface_set"][0]["mac_address"]
    again = await export(innkeeper, new)
    assert [one["sha256"] for one in again["description"]["disks"]] == [
        one["sha256"] for one in made["description"]["disks"]
    ]
    assert (await events(innkeeper, "machine_imported")) == ["copy was imported to sim"]
    assert await innkeeper.discrepancies() == []
    await innkeeper.post(path(new), op="power_on")
    await innkeeper.post(path(new), op="power_off")
    await innkeeper.post(path(new), op="release")
    await innkeeper.delete(path(new))
    assert rows(innkeeper, "select name from guest") == [("web",)]


@pytest.mark.slow
async def test_the_new_machine_has_the_firmware_of_the_old_one(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8, storage_gb=200)
    for number, asked in enumerate(({"uefi": "true", "tpm": "true"}, {"secure_boot": "true"}, {})):
        made = await innkeeper.compose(host["id"], hostname=f"web-{number}", cores=1, memory=1024, **asked)
        machine = await innkeeper.get(path(made))
        new = await imported(innkeeper, await export(innkeeper, machine), hostname=f"copy-{number}")
        for key in ("uefi", "secure_boot", "tpm"):
            assert new[key] == machine[key], (asked, key)


@pytest.mark.slow
async def test_an_uploaded_file_is_imported_after_the_machine_is_gone(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    made = await export(innkeeper, machine)
    data = (await download(innkeeper, made)).body
    await innkeeper.delete(f"exports/{made['id']}/")
    await innkeeper.delete(path(machine))
    file = await upload(innkeeper, data)
    new = await imported(innkeeper, file, keep_mac_addresses="true", power_on="true")
    assert new["interface_set"][0]["mac_address"] == machine["interface_set"][0]["mac_address"]
    assert (new["power_state"], written(innkeeper, "copy")) == ("on", ALL)


@pytest.mark.slow
async def test_a_mac_address_in_use_is_refused(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    for dry_run in ("true", "false"):
        found = await invalid_fields(imported(innkeeper, made, keep_mac_addresses="true", dry_run=dry_run))
        assert "In use by another machine, device or guest" in found["keep_mac_addresses"][0]
    assert len(await innkeeper.get("machines/")) == 1


async def test_a_dry_run_changes_nothing(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    plan = await imported(innkeeper, made, dry_run="true")
    assert plan["effects"][0].startswith("A new VM copy with 2 cores and 2048 MiB is composed on sim")
    assert len(await innkeeper.get("machines/")) == 1


@pytest.mark.slow
async def test_what_the_host_lacks_is_refused_in_numbers(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    assert await rejected_status(imported(innkeeper, made, storage_pool="none")) in (400, 503)
    await innkeeper.compose(innkeeper.hosts["sim"], hostname="big", storage="root:80", cores=1, memory=1024)
    for dry_run in ("true", "false"):
        assert await rejected_status(imported(innkeeper, made, dry_run=dry_run)) == 503
    new = await imported(innkeeper, made, storage_pool="nvme")
    assert {disk["storage_pool_name"] for disk in new["blockdevice_set"]} == {"nvme"}
    assert "already exists" in str(await invalid_fields(imported(innkeeper, made, hostname="copy")))


async def test_only_the_owner_of_a_file_imports_it(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    alice, bob = await as_user(innkeeper, "alice"), await as_user(innkeeper, "bob")
    await own(innkeeper, machine["system_id"], "alice")
    made = await export(alice, machine)
    assert await rejected_status(imported(bob, made)) == 404
    new = await imported(alice, made)
    assert (new["owner"], new["status_name"]) == ("alice", "Allocated")
    assert await rejected_status(bob.post(path(new), op="power_on")) == 403
    await innkeeper.fetch("update pool_grant set role = 'viewer'")
    assert await rejected_status(imported(alice, made, hostname="other")) == 403


@pytest.mark.slow
async def test_a_missing_network_is_named(innkeeper: Deployment) -> None:
    archive = await of_changed(innkeeper, lambda told: told["nics"][0].update(subnet="10.99.0.0/24"))
    file = await upload(innkeeper, archive)
    assert "10.99.0.0/24" in str(await invalid_fields(imported(innkeeper, file)))
    told = json.loads(member_of(archive, "machine.json"))
    assert told["nics"][0]["subnet"] == "10.99.0.0/24"
    nic = {"name": "eth1", "mac_address": "52:54:00:00:00:01", "source": "br9"}
    unnamed = await of_changed(innkeeper, lambda told: told["nics"].append(nic))
    found = await invalid_fields(imported(innkeeper, await upload(innkeeper, unnamed)))
    assert "The file does not name the network of" in found["interfaces"][0]


@pytest.mark.slow
async def test_a_cancelled_import_removes_what_it_made(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    with innkeeper.held("write disk"):
        operation = await innkeeper.begin(
            f"vm-hosts/{innkeeper.hosts['sim']}/", op="import", export=made["id"], hostname="copy"
        )
        await eventually(lambda: innkeeper.simulated().is_holding())
        await innkeeper.cancel(operation)
    assert await innkeeper.ended(operation) == "cancelled"
    assert rows(innkeeper, "select name from guest") == [("web",)]
    assert len(rows(innkeeper, "select name from volume")) == 2
    assert [one["hostname"] for one in await innkeeper.get("machines/")] == ["web"]
    assert (await innkeeper.get(f"exports/{made['id']}/"))["state"] == "ready"
    assert await innkeeper.discrepancies() == []


IN_USE = "web is being imported as copy. Cancel that first: innkeeper operation cancel"


@pytest.mark.slow
async def test_a_file_that_expires_during_its_import_stays_until_its_end(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    upkeep = innkeeper.region.components.export_tasks.upkeep
    with innkeeper.held("write disk"):
        operation = await begun(innkeeper, made)
        await eventually(innkeeper.simulated().is_holding)
        await innkeeper.fetch("update machine_export set expires_at = now()")
        await upkeep.clean_up()
        error = await rejection(innkeeper.delete(f"exports/{made['id']}/"))
        assert (error.details["status"], error.message) == (409, f"{IN_USE} {operation}")
    assert await innkeeper.ended(operation) == "succeeded"
    assert written(innkeeper, "copy") == ALL
    await upkeep.clean_up()
    assert (await innkeeper.get("exports/"), files(innkeeper)) == ([], [])


@pytest.mark.slow
async def test_a_file_that_is_imported_expires_in_a_day_at_the_earliest(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    left = "select expires_at > now() + interval '23 hours' from machine_export"
    await innkeeper.fetch("update machine_export set expires_at = now() + interval '1 minute'")
    await imported(innkeeper, made)
    ((is_left,),) = await innkeeper.fetch(left)
    assert is_left


async def test_a_file_deleted_before_its_import_is_reserved_makes_nothing(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    reserve = Composer.reserve

    async def late(*args: Any, **options: Any) -> Any:
        await innkeeper.delete(f"exports/{made['id']}/")
        return await reserve(*args, **options)

    monkeypatch.setattr(Composer, "reserve", late)
    error = await rejection(imported(innkeeper, made))
    assert (error.details["status"], error.message) == (409, "The file was deleted, or has expired. Upload it again.")
    composes = [one for one in await innkeeper.get("operations/") if one["kind"] == "compose"]
    assert [one["hostname"] for one in composes] == ["web"]
    assert [one["hostname"] for one in await innkeeper.get("machines/")] == ["web"]


@pytest.mark.slow
async def test_a_deletion_waits_for_the_reservation_of_an_import(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    hold, deletions = DiskParts.hold, list[asyncio.Task[Any]]()

    async def slow(db: Db, export_id: int) -> None:
        await hold(db, export_id)
        deletions.append(asyncio.create_task(rejection(innkeeper.delete(f"exports/{made['id']}/"))))
        await eventually(lambda: innkeeper.fetch(WAITS))

    monkeypatch.setattr(DiskParts, "hold", staticmethod(slow))
    with innkeeper.held("write disk"):
        operation = await begun(innkeeper, made)
        (deletion,) = deletions
        assert (await deletion).message == f"{IN_USE} {operation}"
    assert await innkeeper.ended(operation) == "succeeded"


WAITS = """
    select pid from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and query like '%machine_export%'
"""


async def begun(innkeeper: Deployment, made: Any) -> int:
    """The operation that imports the file as `copy`."""
    where = f"vm-hosts/{innkeeper.hosts['sim']}/"
    return await innkeeper.begin(where, op="import", export=made["id"], hostname="copy")


async def test_a_file_that_was_damaged_since_makes_nothing(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    (file,) = innkeeper.region.components.services.exports.space.folder.root.iterdir()
    with file.open("r+b") as opened:
        opened.seek(200_000)
        opened.write(b"damaged")
    operation = await innkeeper.begin(
        f"vm-hosts/{innkeeper.hosts['sim']}/", op="import", export=made["id"], hostname="copy"
    )
    assert await innkeeper.ended(operation) == "failed"
    assert "it was damaged on its way" in (await innkeeper.get(f"operations/{operation}/"))["error"]["message"]
    assert rows(innkeeper, "select name from guest") == [("web",)]


def member_of(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = tar.extractfile(name)
        assert found is not None
        return found.read()


def with_members(archive: bytes, **changed: bytes) -> bytes:
    """The archive with these members (dots as underscores), others as they are."""
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = tar.getnames()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as new:
        for name in names:
            data = changed.get(name.replace(".", "_").replace("-", "_"), member_of(archive, name))
            header = tarfile.TarInfo(name)
            header.size = len(data)
            new.addfile(header, io.BytesIO(data))
    return made.getvalue()


async def archive_of(innkeeper: Deployment) -> bytes:
    machines = await innkeeper.get("machines/") if "sim" in innkeeper.hosts else []
    machine = machines[0] if machines else await composed(innkeeper)
    found: bytes = (await download(innkeeper, await export(innkeeper, machine))).body
    return found


async def of_changed(innkeeper: Deployment, change: Any) -> bytes:
    """A consistent archive whose machine.json was changed."""
    archive = await archive_of(innkeeper)
    told = json.loads(member_of(archive, "machine.json"))
    change(told)
    return with_members(archive, machine_json=json.dumps(told).encode())


def told_with(archive: bytes, image: bytes) -> bytes:
    """The archive with another image of its first disk, of which machine.json tells the truth."""
    told = json.loads(member_of(archive, "machine.json"))
    told["disks"][0].update(file_bytes=len(image), sha256=hashlib.sha256(image).hexdigest())
    return with_members(archive, machine_json=json.dumps(told).encode(), disk_0_qcow2=image)


@pytest.mark.slow
async def test_an_image_that_names_another_file_is_refused(innkeeper: Deployment) -> None:
    archive = await archive_of(innkeeper)
    image = bytearray(member_of(archive, "disk-0.qcow2"))
    backed = bytearray(image)
    backed[1024:1035] = b"/etc/shadow"
    struct.pack_into(">QI", backed, 8, 1024, 11)
    failed = await upload(innkeeper, told_with(archive, bytes(backed)))
    assert (failed["state"], "names a backing file" in failed["error"]) == ("failed", True)
    external = bytearray(image)
    struct.pack_into(">Q", external, 72, 4)
    failed = await upload(innkeeper, told_with(archive, bytes(external)))
    assert "external data file" in failed["error"]
    extended = bytearray(image)
    struct.pack_into(">II", extended, 104, 0x44415441, 11)
    failed = await upload(innkeeper, told_with(archive, bytes(extended)))
    assert "may name another file" in failed["error"]
    assert await rejected_status(imported(innkeeper, failed)) == 409


BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "a link": ("no plain file", {"type": tarfile.SYMTYPE}),
    "a device": ("no plain file", {"type": tarfile.BLKTYPE}),
    "a path": ("It has to have machine.json", {"name": "../../etc/cron.d/x"}),
}


@pytest.mark.parametrize("what", BAD)
async def test_an_archive_with_something_else_is_refused(innkeeper: Deployment, what: str) -> None:
    reason, changed = BAD[what]
    archive = await archive_of(innkeeper)
    header = tarfile.TarInfo("disk-9.qcow2")
    for name, value in changed.items():
        setattr(header, name, value)
    file = await upload(innkeeper, header.tobuf(tarfile.GNU_FORMAT) + archive)
    assert (file["state"], reason in file["error"]) == ("failed", True)


async def test_the_same_key_imports_once(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    headers = {"Idempotency-Key": "one", "Prefer": "respond-async"}
    fields = {"export": made["id"], "hostname": "copy"}
    where = f"vm-hosts/{innkeeper.hosts['sim']}/"
    found = [(await innkeeper.post(where, op="import", headers=headers, **fields))["id"] for _ in range(2)]
    assert found[0] == found[1]
    assert await innkeeper.ended(found[0]) == "succeeded"
    assert len(await innkeeper.get("machines/")) == 2


async def test_the_file_of_another_region_is_not_read(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    await innkeeper.fetch("update machine_export set store_id = gen_random_uuid()")
    assert "of another region" in str(await rejection(download(innkeeper, made)))
    operation = await innkeeper.begin(
        f"vm-hosts/{innkeeper.hosts['sim']}/", op="import", export=made["id"], hostname="copy"
    )
    await innkeeper.wait_for_state(operation, "waiting")
    await innkeeper.post(f"operations/{operation}/", op="cancel")
    assert await innkeeper.ended(operation) == "cancelled"
    assert len(await innkeeper.get("machines/")) == 1

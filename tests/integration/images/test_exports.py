"""Machines exported to files of the region: their content, who sees them, what limits them, what a failure leaves."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import define, evolve, field

from common.disks.disk_content import DiskPart
from common.errors import WrongState
from innkeeper.request_body import Body
from regiond.db.pool import Db
from regiond.exports import store
from regiond.exports.disk_reader import DiskImage
from regiond.exports.model import ExportLimits
from regiond.process.file_folder import Threads
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_disk_changes import events, path
from tests.integration.support.adoption import rows
from tests.integration.support.users import as_user, own
from tests.support.disk_images import raw_disk
from tests.support.rejections import rejected_status, rejection
from tests.support.waiting import eventually

T = TypeVar("T")
MIB = 2**20


def folder(innkeeper: Deployment) -> Path:
    return innkeeper.region.components.services.exports.space.folder.root


def files(innkeeper: Deployment) -> list[str]:
    return sorted(one.name for one in folder(innkeeper).iterdir())


async def composed(innkeeper: Deployment, name: str = "web", **fields: Any) -> Any:
    if "sim" not in innkeeper.hosts:
        await innkeeper.add_simulated(cores=16, memory_mib=32768, pools="local:100,nvme:50")
    made = await innkeeper.compose(
        innkeeper.hosts["sim"], hostname=name, cores=2, memory=2048, storage="root:8,data:5", **fields
    )
    put(innkeeper, CONTENT)
    return await innkeeper.get(path(made))


CONTENT = ((0, 0, os.urandom(300_000)), (0, 4 * 10**9 + 7, b"middle"), (1, 5 * 10**9 - 3, b"end"))


def put(innkeeper: Deployment, content: tuple[tuple[int, int, bytes], ...]) -> None:
    """Writes to disks of the host's only guest: the number of the disk, the place, the data."""
    volumes = rows(innkeeper, "select pool, volume from disk order by position")
    for index, at, data in content:
        place = tuple(volumes[index])
        rows(innkeeper, "insert or ignore into written values (?, ?)", *place)
        rows(innkeeper, "insert or replace into content values (?, ?, ?, ?)", *place, at, data)


def content_of(innkeeper: Deployment) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows(innkeeper, "select pool, volume, at, data from content order by 1, 2, 3")]


async def export(innkeeper: Deployment, machine: Any, **fields: Any) -> Any:
    """Returns the entry of the file, once it is ready."""
    made = await innkeeper.post(path(machine), op="export", **fields)
    return await ready(innkeeper, made)


async def ready(innkeeper: Deployment, made: Any) -> Any:
    async def found() -> Any:
        one = await innkeeper.get(f"exports/{made['id']}/")
        return one if one["state"] in ("ready", "failed") else None

    return await eventually(found)


async def download(innkeeper: Deployment, made: Any, byte_range: str | None = None) -> Any:
    headers = {} if byte_range is None else {"Range": byte_range}
    return await innkeeper.send("GET", f"exports/{made['id']}/", op="download", headers=headers)


def parts_in(archive: bytes, name: str, size: int) -> list[DiskPart]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile(name)
        assert member is not None
        image = member.read()
    return [one for one in DiskImage(io.BytesIO(image), 0, len(image)).parts(size) if one.data]


def content_at(parts: list[DiskPart], at: int, length: int) -> bytes:
    found = bytearray(length)
    for one in parts:
        start, end = max(at, one.offset), min(at + length, one.end)
        if start < end:
            found[start - at : end - at] = one.data[start - one.offset : end - one.offset]
    return bytes(found)


@pytest.mark.slow
async def test_a_machine_is_exported_with_its_content(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    before = content_of(innkeeper)
    made = await export(innkeeper, machine)
    assert (made["state"], made["percent"], made["name"], made["machine"], made["owner"]) == (
        "ready", 100, "web", machine["system_id"], "admin",
    )  # fmt: skip
    answer = await download(innkeeper, made)
    assert hashlib.sha256(answer.body).hexdigest() == made["sha256"]
    assert (len(answer.body), answer.content_type) == (made["size"], "application/x-tar")
    assert made["size"] < 2 * MIB
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        assert tar.getnames() == ["disk-0.qcow2", "disk-1.qcow2", "machine.json"]
        told = json.load(tar.extractfile("machine.json"))  # type: ignore[arg-type]
    assert (told["hostname"], told["cores"], told["memory_mib"]) == ("web", 2, 2048)
    assert [(one["title"], one["size_bytes"]) for one in told["disks"]] == [("root", 8 * 10**9), ("data", 5 * 10**9)]
    assert [nic["mac_address"] for nic in told["nics"]] == [machine["interface_set"][0]["mac_address"]]
    for index, size in ((0, 8 * 10**9), (1, 5 * 10**9)):
        parts = parts_in(answer.body, f"disk-{index}.qcow2", size)
        for _, at, data in (one for one in CONTENT if one[0] == index):
            assert content_at(parts, at, len(data)) == data
    assert content_of(innkeeper) == before
    assert (await events(innkeeper, "machine_exported"))[0].startswith("web on sim was exported: ")
    (event,) = await events(innkeeper, "export_downloaded")
    assert event == "The file of the VM web is downloaded: all data of its disks."
    assert await innkeeper.discrepancies() == []


@pytest.mark.slow
async def test_equal_content_makes_equal_images(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    found = [(await export(innkeeper, machine))["description"]["disks"] for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.slow
async def test_a_part_of_the_file_continues_a_download(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    whole = (await download(innkeeper, made)).body
    rest = await download(innkeeper, made, "bytes=1000-")
    assert (rest.status, rest.body) == (206, whole[1000:])
    some = await download(innkeeper, made, "bytes=5-9")
    assert (some.status, some.body) == (206, whole[5:10])
    assert await rejected_status(download(innkeeper, made, f"bytes={len(whole)}-")) == 400


async def test_each_reader_of_a_file_is_recorded_whatever_part_it_reads(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    for byte_range, recorded in (("bytes=1-", 1), ("bytes=5-9", 1), ("bytes=0-", 2), ("bytes=7-", 2)):
        await download(innkeeper, made, byte_range)
        assert len(await events(innkeeper, "export_downloaded")) == recorded, byte_range
    await innkeeper.fetch("update event set at = at - interval '2 hours' where kind = 'export_downloaded'")
    await download(innkeeper, made, "bytes=7-")
    other = await export(innkeeper, await innkeeper.get(f"machines/{made['machine']}/"))
    await download(innkeeper, other, "bytes=7-")
    assert len(await events(innkeeper, "export_downloaded")) == 4


async def test_a_machine_that_runs_is_not_exported(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await innkeeper.post(path(machine), op="power_on")
    for dry_run in ("true", "false"):
        error = await rejection(innkeeper.post(path(machine), op="export", dry_run=dry_run))
        assert (error.details["status"], "web is exported only while it is off" in error.message) == (409, True)
    assert (await innkeeper.get("exports/"), files(innkeeper)) == ([], [])


async def test_a_dry_run_says_what_is_written(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    plan = await innkeeper.post(path(machine), op="export", dry_run="true")
    assert plan["effects"][0].startswith("2 disks of web on sim (13.0 GB together)")
    assert await innkeeper.get("exports/") == []


async def test_only_the_owner_and_administrators_export_and_see(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    alice, bob = await as_user(innkeeper, "alice"), await as_user(innkeeper, "bob")
    await own(innkeeper, machine["system_id"], "alice")
    assert await rejected_status(bob.post(path(machine), op="export")) == 403
    made = await export(alice, machine)
    assert (await bob.get("exports/"), len(await innkeeper.get("exports/"))) == ([], 1)
    for refused in (bob.get(f"exports/{made['id']}/"), download(bob, made), bob.delete(f"exports/{made['id']}/")):
        assert await rejected_status(refused) == 404
    of_admin = await export(innkeeper, machine)
    assert [one["id"] for one in await alice.get("exports/")] == [made["id"]]
    assert (await download(innkeeper, of_admin)).status == 200
    await alice.delete(f"exports/{made['id']}/")
    await eventually(lambda: len(files(innkeeper)) == 1)


async def test_a_cancelled_export_leaves_nothing(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    before = content_of(innkeeper)
    with innkeeper.held("read disk"):
        operation = await innkeeper.begin(path(machine), op="export")
        await eventually(lambda: innkeeper.simulated().is_holding())
        (entry,) = await innkeeper.get("exports/")
        assert (entry["state"], entry["operation"]) == ("exporting", operation)
        assert "Cancel that first" in str(await rejection(innkeeper.delete(f"exports/{entry['id']}/")))
        assert "Another operation" in str(await rejection(innkeeper.post(path(machine), op="power_on")))
        await innkeeper.post(f"operations/{operation}/", op="cancel")
        assert await innkeeper.ended(operation) == "cancelled"
    assert await innkeeper.get("exports/") == []
    await eventually(lambda: files(innkeeper) == [])
    assert content_of(innkeeper) == before


async def test_a_guest_that_was_started_is_exported_again(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    with innkeeper.held("read disk"):
        operation = await innkeeper.begin(path(machine), op="export")
        await eventually(lambda: innkeeper.simulated().is_holding())
        rows(innkeeper, "update guest set power = 'on'")
    assert await innkeeper.ended(operation) == "failed"
    found = await innkeeper.get(f"operations/{operation}/")
    assert "is not off" in found["error"]["message"]
    assert await innkeeper.get("exports/") == []


async def test_a_full_store_refuses_in_numbers(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    exports = innkeeper.region.components.services.exports
    object.__setattr__(exports.space, "limits", evolve(exports.space.limits, total_bytes=MIB // 2))
    operation = await innkeeper.begin(path(machine), op="export")
    assert await innkeeper.ended(operation) == "failed"
    error = (await innkeeper.get(f"operations/{operation}/"))["error"]
    assert "of 524288 bytes (the region's setting max_exports_gib)" in error["message"]
    assert await innkeeper.get("exports/") == []
    await eventually(lambda: files(innkeeper) == [])
    object.__setattr__(exports.space, "limits", ExportLimits(total_bytes=0))
    assert await rejected_status(innkeeper.post(path(machine), op="export")) == 503


async def test_expired_and_forgotten_files_are_removed(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    (folder(innkeeper) / "7-left.tar").write_bytes(b"of a crash")
    upkeep = innkeeper.region.components.export_tasks.upkeep
    await upkeep.clean_up()
    assert (len(files(innkeeper)), "7-left.tar" in files(innkeeper)) == (1, False)
    await innkeeper.fetch("update machine_export set expires_at = now() where id = $1", made["id"])
    await upkeep.clean_up()
    assert (files(innkeeper), await innkeeper.get("exports/")) == ([], [])
    assert await events(innkeeper, "export_expired") == ["The file of the VM web has expired and was deleted."]


@pytest.mark.parametrize("by", ["the region", "its owner"])
async def test_an_export_that_was_ended_with_its_host_is_deleted(
    innkeeper: Deployment, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await composed(innkeeper)
    delete_abandoned, here = store.delete_abandoned, asyncio.current_task()

    async def delete_here(db: Db) -> tuple[store.Deleted, ...]:
        """The region's own clean-up, which the end of the attempt wakes, leaves the row to this test."""
        return await delete_abandoned(db) if asyncio.current_task() is here else ()

    monkeypatch.setattr(store, "delete_abandoned", delete_here)
    upkeep = innkeeper.region.components.export_tasks.upkeep
    with innkeeper.held("read disk"):
        operation = await innkeeper.begin(path(machine), op="export")
        await eventually(innkeeper.simulated().is_holding)
        await upkeep.clean_up()
        (entry,) = await innkeeper.get("exports/")
        assert (entry["state"], len(files(innkeeper))) == ("exporting", 1)
        with innkeeper.simulated().down():
            await innkeeper.delete(f"vm-hosts/{innkeeper.hosts['sim']}/", force="true")
        assert await innkeeper.ended(operation) == "failed"
    assert [one["state"] for one in await innkeeper.get("exports/")] == ["exporting"]
    if by == "its owner":
        await innkeeper.delete(f"exports/{entry['id']}/")
    await upkeep.clean_up()
    assert (await innkeeper.get("exports/"), files(innkeeper)) == ([], [])
    why = ": its export has ended without completing it." if by == "the region" else "."
    assert await events(innkeeper, "export_deleted") == [f"The file of the VM web was deleted{why}"]


async def test_a_lost_file_is_said_to_be_missing(innkeeper: Deployment) -> None:
    """By the download as by the region's own clean-up, whichever comes first."""
    made = await export(innkeeper, await composed(innkeeper))
    for file in files(innkeeper):
        (folder(innkeeper) / file).unlink()
    assert "is missing in the region's folder" in str(await rejection(download(innkeeper, made)))
    await innkeeper.region.components.export_tasks.upkeep.clean_up()
    assert (await innkeeper.get(f"exports/{made['id']}/"))["state"] == "failed"
    with_reason = str(await rejection(download(innkeeper, made)))
    assert "is failed, not ready. Its file is missing in the region's folder" in with_reason


async def upload(innkeeper: Deployment, data: bytes, name: str = "web.tar", part: int = 3 * MIB, **fields: Any) -> Any:
    declared: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), **fields}
    entry = await innkeeper.post("exports/", name=name, **declared)
    for start in range(0, len(data), part):
        await append(innkeeper, entry, data[start : start + part], start)
    return await ready(innkeeper, entry)


async def append(innkeeper: Deployment, entry: Any, data: bytes, offset: int) -> Any:
    query = [("offset", str(offset))]
    return (
        await innkeeper.api.send("PUT", f"exports/{entry['id']}/upload/", query=query, body=Body(content=data))
    ).json()


async def test_an_exported_file_can_be_uploaded(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    data = (await download(innkeeper, made)).body
    again = await upload(innkeeper, data, part=200_000)
    assert (again["state"], again["description"], again["machine"]) == ("ready", made["description"], "")


async def test_what_is_no_export_fails_with_the_reason(innkeeper: Deployment) -> None:
    failed = await upload(innkeeper, raw_disk())
    assert (failed["state"], "no tar archive" in failed["error"]) == ("failed", True)
    await eventually(lambda: files(innkeeper) == [])
    damaged = await upload(innkeeper, b"x" * 2000, sha256="0" * 64)
    assert damaged["error"].startswith("The file has the SHA-256 ")


async def test_an_upload_continues_where_it_ended(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    data = (await download(innkeeper, made)).body
    entry = await innkeeper.post("exports/", name="x", sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    await append(innkeeper, entry, data[:1000], 0)
    error = await rejection(append(innkeeper, entry, data[2000:3000], 2000))
    assert (error.details["status"], "continue with offset=1000" in error.message) == (409, True)
    twice = (append(innkeeper, entry, data[1000:], 1000) for _ in range(2))
    found = await asyncio.gather(*twice, return_exceptions=True)
    assert any(not isinstance(one, BaseException) for one in found)
    assert (await ready(innkeeper, entry))["state"] == "ready"


@define
class LateThreads:
    """The threads of the region, which take up nothing before `proceed` is set."""

    inner: Threads
    proceed: asyncio.Event = field(factory=asyncio.Event)
    waiting: int = 0

    def is_stopped(self) -> bool:
        return self.inner.is_stopped()

    async def run(self, work: Callable[[], T]) -> T:
        self.waiting += 1
        await self.proceed.wait()
        return await self.inner.run(work)


@pytest.mark.slow
async def test_a_late_part_leaves_a_complete_file_alone(innkeeper: Deployment) -> None:
    made = await export(innkeeper, await composed(innkeeper))
    data = (await download(innkeeper, made)).body
    entry = await innkeeper.post("exports/", name="x", sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    exports = innkeeper.region.components.services.exports
    threads = LateThreads(exports.space.threads)
    late = evolve(exports, space=evolve(exports.space, threads=threads))
    other = asyncio.create_task(late.append(innkeeper.admin, entry["id"], bytes(len(data)), offset=0))
    await eventually(lambda: threads.waiting)
    await append(innkeeper, entry, data, 0)
    uploaded = await ready(innkeeper, entry)
    threads.proceed.set()
    with pytest.raises(WrongState, match="it takes no content"):
        await other
    assert (await download(innkeeper, uploaded)).body == data


async def test_a_viewer_uploads_nothing(innkeeper: Deployment) -> None:
    alice = await as_user(innkeeper, "alice")
    await innkeeper.fetch("update pool_grant set role = 'viewer'")
    assert await rejected_status(alice.post("exports/", name="x", sha256="0" * 64, size=5)) == 403

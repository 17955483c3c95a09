"""Images that cannot be used, disks without space, and regions that end in the middle of an upload or a check."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.process.periodic import AFTER_START_S
from regiond.images import upkeep
from regiond.images.content import ContentFolder, sha256_of
from regiond.images.upkeep import RETRY_BUSY_S
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed, second_region
from tests.deployment.runner import REGION
from tests.integration.images.test_images import files, kinds
from tests.support.clock import advance
from tests.support.disk_images import append, checked, declare, qcow2, raw_disk, upload
from tests.support.rejections import rejection
from tests.support.waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.database

MIB = 2**20


def with_backing_file(folder: Path) -> bytes:
    qcow2(folder / "base")
    return qcow2(folder / "top", "-b", str(folder / "base"), "-F", "qcow2")


def with_data_file(folder: Path) -> bytes:
    return qcow2(folder / "disk", "-o", f"data_file={folder / 'data'}")


def encrypted(folder: Path) -> bytes:
    (folder / "key").write_text("secret")
    return qcow2(
        folder / "disk", "--object", f"secret,id=s,file={folder / 'key'}",
        "-o", "encrypt.format=aes,encrypt.key-secret=s",  # luks measures the processor, and fails on a busy one
    )  # fmt: skip


def damaged(folder: Path) -> bytes:
    """An entry of the L1 table points behind the end of the file."""
    data = bytearray(qcow2(folder / "disk", data=raw_disk(MIB)))
    l1_offset = int.from_bytes(data[40:48], "big")
    data[l1_offset : l1_offset + 8] = (2**63 + 2**40).to_bytes(8, "big")
    return bytes(data)


def cut_off(folder: Path) -> bytes:
    return qcow2(folder / "disk", data=b"\x01" * 2 * MIB)[:-MIB]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_backing_file, "depends on a backing file"),
        (with_data_file, "has its data in an external file"),
        (encrypted, "is encrypted"),
        (damaged, "is damaged or cut off: qemu-img check finds"),
        (cut_off, "is damaged or cut off: qemu-img check finds"),
        (lambda _: b"<html>Not Found</html>", "neither a qcow2 image nor a disk with partitions"),
    ],
    ids=["backing file", "data file", "encrypted", "damaged", "cut off", "web page"],
)
async def test_an_image_that_cannot_be_used_fails_with_the_reason(
    rackless: Deployment, tmp_path: Path, make: Callable[[Path], bytes], reason: str
) -> None:
    failed = await upload(rackless, make(tmp_path))
    assert (failed["state"], reason in failed["error"]) == ("failed", True), failed["error"]
    assert str(tmp_path) not in failed["error"].replace(f"{tmp_path}/base", "")  # named by the image itself
    assert (files(rackless, "uploads"), files(rackless, "sha256")) == ([], [])
    assert (await kinds(rackless))[-1] == "image_failed"


async def test_another_hash_or_format_fails_and_can_be_repeated(rackless: Deployment, tmp_path: Path) -> None:
    data = raw_disk()
    entry = await declare(rackless, data, sha256="0" * 64)
    await append(rackless, entry, data)
    failed = await checked(rackless, entry)
    assert failed["error"].endswith(f"{'0' * 64} was declared.")
    failed = await upload(rackless, data, filetype="qcow2")
    assert failed["error"] == "The content is a raw image; qcow2 was declared. Leave the file type out."
    assert (await upload(rackless, data))["state"] == "ready"


async def test_a_failed_upload_begins_again_at_its_address(rackless: Deployment) -> None:
    data = raw_disk(2 * MIB)
    failed = await upload(rackless, raw_disk(2 * MIB, seed=1)[:512] + data[512:-1] + b"x", sha256="0" * 64)
    assert (failed["state"], failed["received"]) == ("failed", 0)
    again = await append(rackless, failed, data[:MIB])
    assert (again["state"], again["error"], again["received"]) == ("uploading", None, MIB)


@pytest.mark.slow
async def test_limits_of_the_folder_are_refused_in_numbers(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, max_image_gib=0.003, max_images_gib=0.004) as innkeeper:
        assert (await upload(innkeeper, raw_disk(3 * MIB), name="a"))["state"] == "ready"
        refused = await rejection(declare(innkeeper, raw_disk(2 * MIB), name="b"))
        assert (refused.details["status"], refused.message.partition(";")[0]) == (
            503, "Images take 3 MiB of 4.096 MiB (the region's setting max_images_gib)",
        )  # fmt: skip
        assert [one["name"] for one in await innkeeper.get("boot-resources/")] == ["custom/a"]
        assert (await upload(innkeeper, raw_disk(MIB), name="b"))["state"] == "ready"


async def test_too_little_disk_space_is_refused_before_the_upload(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, image_reserve_gib=10**6) as innkeeper:
        refused = await rejection(declare(innkeeper, raw_disk()))
        assert refused.details["status"] == 503
        assert "1 MiB more are needed, and 976.6 TiB stay free" in refused.message
        assert await innkeeper.get("boot-resources/") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A disk of 8 MiB, or a skipped test where none can be mounted."""
    folder = tmp_path / "region" / "images"
    folder.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_disk_that_gets_full_leaves_no_half_part(small_disk: Path, tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, image_reserve_gib=0) as innkeeper:
        data = raw_disk(5 * MIB)
        entry = await declare(innkeeper, data)
        await append(innkeeper, entry, data[: 2 * MIB])
        (small_disk / "other").write_bytes(bytes(4 * MIB))
        refused = await rejection(append(innkeeper, entry, data[2 * MIB :]))
        assert refused.details["status"] == 503
        assert (small_disk / "uploads" / str(entry["id"])).stat().st_size == 2 * MIB
        (small_disk / "other").unlink()
        await append(innkeeper, entry, data[2 * MIB :], offset=2 * MIB)
        assert (await checked(innkeeper, entry))["state"] == "ready"


# Crashes ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def killable(tmp_path: Path, database_url: str) -> AsyncIterator[Deployment]:
    async with deployed(tmp_path, database_url, killable=True, checked=False) as innkeeper:
        yield innkeeper


async def test_an_upload_continues_after_the_region_was_killed(tmp_path: Path, database_url: str) -> None:
    async with killable(tmp_path, database_url) as innkeeper:
        data = raw_disk(3 * MIB)
        entry = await declare(innkeeper, data)
        await append(innkeeper, entry, data[:MIB])
        innkeeper.kill(REGION)
        upload_file = innkeeper.folder / "region" / "images" / "uploads" / str(entry["id"])
        with upload_file.open("ab") as file:  # of a part that was never confirmed
            file.write(b"half a part")
        await innkeeper.restart(REGION)
        found = await declare(innkeeper, data)
        assert (found["id"], found["received"]) == (entry["id"], MIB)
        await append(innkeeper, entry, data[MIB:], offset=MIB)
        assert (await checked(innkeeper, entry))["state"] == "ready"


@pytest.mark.parametrize("moved", [False, True], ids=["before the move", "after the move"])
async def test_an_interrupted_check_is_done_again(tmp_path: Path, database_url: str, moved: bool) -> None:
    async with deployed(tmp_path, database_url) as innkeeper:
        ready = await upload(innkeeper, raw_disk())
        folder = innkeeper.folder / "region" / "images"
        await innkeeper.in_process.stop_region()
        if not moved:
            (folder / "sha256" / ready["sha256"]).rename(folder / "uploads" / str(ready["id"]))
        async with innkeeper.connection() as db:
            await db.execute("update image set state = 'checking', format = null, virtual_size_bytes = null")
        await innkeeper.in_process.start_region()
        assert (await checked(innkeeper, ready))["state"] == "ready"
        assert files(innkeeper, "sha256") == [ready["sha256"]]
        await eventually(lambda: files(innkeeper, "uploads") == [])  # after it is ready


async def test_a_file_in_use_is_checked_soon_after(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as innkeeper:
        ready = await upload(innkeeper, raw_disk())
        await innkeeper.in_process.stop_region()
        in_use = ContentFolder.open(innkeeper.folder / "region" / "images").lock(ready["id"])
        async with innkeeper.connection() as db:
            await db.execute("update image set state = 'checking'")
        await innkeeper.in_process.start_region()
        with capture_logs() as logs:
            await eventually(lambda: "image_check_delayed" in [one["event"] for one in logs])
        in_use.close()
        await advance(RETRY_BUSY_S)
        assert await eventually(partial(_is_ready, innkeeper))


@pytest.mark.parametrize("is_deleted", [True, False], ids=["deleted", "lost"])
async def test_a_file_that_goes_during_its_check_stops_no_other(
    rackless: Deployment, monkeypatch: pytest.MonkeyPatch, is_deleted: bool
) -> None:
    goes = await declare(rackless, raw_disk(), sha256="")
    hashing, gone = threading.Event(), threading.Event()

    def hashed(path: Path, *, is_stopped: Callable[[], bool]) -> str:
        if path.name == str(goes["id"]):
            hashing.set()
            assert gone.wait(DEADLINE_S)
        return sha256_of(path, is_stopped=is_stopped)

    monkeypatch.setattr(upkeep, "sha256_of", hashed)
    with capture_logs() as logs:
        await append(rackless, goes, raw_disk())
        stays = await declare(rackless, raw_disk(seed=1), name="y", sha256="")
        await append(rackless, stays, raw_disk(seed=1))
        await eventually(hashing.is_set)
        if is_deleted:
            await rackless.delete(f"boot-resources/{goes['id']}/")
            await rackless.region.components.image_tasks.clean_up()
        else:
            (rackless.folder / "region" / "images" / "uploads" / str(goes["id"])).unlink()
        gone.set()
        assert (await checked(rackless, stays))["state"] == "ready"
    assert "periodic_task_failed" not in [one["event"] for one in logs]
    left = {one["name"]: (one["state"], one["error"]) for one in await rackless.get("boot-resources/")}
    assert left == {"custom/y": ("ready", None)} | ({} if is_deleted else {"custom/x": ("failed", upkeep.MISSING)})
    assert ("image_failed" in await kinds(rackless)) is not is_deleted


async def _is_ready(innkeeper: Deployment) -> bool:
    (image,) = await innkeeper.get("boot-resources/")
    return bool(image["state"] == "ready")


@pytest.mark.slow
async def test_a_start_removes_files_without_an_entry(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as innkeeper:
        ready = await upload(innkeeper, raw_disk())
        folder = innkeeper.folder / "region" / "images"
        await innkeeper.in_process.stop_region()
        (folder / "sha256" / ("ab" * 32)).write_bytes(b"of an entry that is gone")
        (folder / "uploads" / "1234").write_bytes(b"of an upload that is gone")
        await innkeeper.in_process.start_region()
        await advance(AFTER_START_S)
        await eventually(lambda: files(innkeeper, "sha256") == [ready["sha256"]] and not files(innkeeper, "uploads"))


async def test_an_abandoned_upload_is_given_up_after_a_day(rackless: Deployment) -> None:
    data = raw_disk(2 * MIB)
    entry = await declare(rackless, data)
    await append(rackless, entry, data[:MIB])
    tasks = rackless.region.components.image_tasks
    await tasks.clean_up()
    assert len(await rackless.get("boot-resources/")) == 1
    async with rackless.connection() as db:
        await db.execute("update image set expires_at = expires_at - interval '1 day'")
    await tasks.clean_up()
    assert (await rackless.get("boot-resources/"), files(rackless, "uploads")) == ([], [])
    assert (await kinds(rackless))[-1] == "image_upload_expired"


async def test_content_that_was_lost_is_reported(rackless: Deployment) -> None:
    ready = await upload(rackless, raw_disk())
    shutil.rmtree(rackless.folder / "region" / "images" / "sha256")
    (rackless.folder / "region" / "images" / "sha256").mkdir()
    await rackless.region.components.image_tasks.clean_up()
    found = await rackless.get(f"boot-resources/{ready['id']}/")
    assert (found["state"], found["error"]) == (
        "failed", "Its content is missing in the region's folder of images. Upload it again.",
    )  # fmt: skip
    assert (await upload(rackless, raw_disk()))["state"] == "ready"


async def test_regions_that_share_the_folder_share_uploads(rackless: Deployment) -> None:
    data = raw_disk(2 * MIB)
    async with second_region(rackless) as other:
        entry = await declare(rackless, data)
        await append(rackless, entry, data[:MIB])
        await append(other, entry, data[MIB:])
        assert (await checked(rackless, entry))["state"] == "ready"


async def test_a_region_with_another_folder_takes_no_parts(rackless: Deployment, tmp_path: Path) -> None:
    data = raw_disk(2 * MIB)
    entry = await declare(rackless, data)
    other = ContentFolder.open(tmp_path / "other")
    async with rackless.connection() as db:
        await db.execute("update image set store_id = $1", other.store_id)
    refused = await rejection(append(rackless, entry, data[:MIB]))
    assert (refused.details["status"], "is uploaded to another region" in refused.message) == (409, True)
    await rackless.region.components.image_tasks.clean_up()
    assert len(await rackless.get("boot-resources/")) == 1

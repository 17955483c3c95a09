"""The space that uploads are promised: nobody takes that of all, nothing is promised twice, and nothing for long."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from common.errors import InnkeeperError
from innkeeper.request_body import Body
from regiond.exports.model import UPLOAD_IDLE_S
from regiond.images.upload_store import IDLE_S
from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user
from tests.support.disk_images import append, declare, raw_disk
from tests.support.rejections import rejection

GIB = 2**30


def limit_exports(innkeeper: Deployment, **limits: Any) -> None:
    space = innkeeper.region.components.services.exports.space
    object.__setattr__(space, "limits", evolve(space.limits, **limits))


def limit_images(innkeeper: Deployment, **limits: Any) -> None:
    space = innkeeper.region.components.services.image_uploads.space
    object.__setattr__(space, "limits", evolve(space.limits, **limits))


def free_bytes(innkeeper: Deployment) -> int:
    return innkeeper.region.components.services.image_uploads.folder.free_bytes()


async def begin(innkeeper: Deployment, name: str, size: int) -> Any:
    return await innkeeper.post("exports/", name=name, sha256="0" * 64, size=size)


async def send(innkeeper: Deployment, entry: Any, data: bytes) -> Any:
    return (await innkeeper.api.send("PUT", f"exports/{entry['id']}/upload/", body=Body(content=data))).json()


async def make_idle(innkeeper: Deployment, entry: Any) -> None:
    """As if its last part had come before UPLOAD_IDLE_S."""
    idle = "update machine_export set expires_at = expires_at - make_interval(secs => $2) where id = $1"
    await innkeeper.fetch(idle, entry["id"], UPLOAD_IDLE_S + 1)


async def make_image_idle(innkeeper: Deployment, entry: Any) -> None:
    idle = "update image set updated_at = updated_at - make_interval(secs => $2) where id = $1"
    await innkeeper.fetch(idle, entry["id"], IDLE_S + 1)


async def refusal(work: Any) -> InnkeeperError:
    return await rejection(work)


async def test_empty_uploads_of_one_account_leave_space_for_others(innkeeper: Deployment) -> None:
    limit_exports(innkeeper, total_bytes=8 * GIB, account_bytes=4 * GIB)
    olga, otto = await as_user(innkeeper, "olga"), await as_user(innkeeper, "otto")
    for number in range(4):
        await begin(olga, f"empty-{number}", GIB)
    error = await refusal(begin(olga, "one-more", GIB))
    assert error.details["status"] == 403
    assert "Your files take 4 GiB of 4 GiB (the region's setting max_exports_per_account_gib)" in error.message
    await begin(otto, "of-another", 2 * GIB)
    await begin(innkeeper, "of-an-administrator", 2 * GIB)
    assert "max_exports_gib" in (await refusal(begin(innkeeper, "too-much", GIB))).message


async def test_an_upload_that_stops_is_promised_no_more_than_what_has_come(innkeeper: Deployment) -> None:
    limit_exports(innkeeper, total_bytes=10 * GIB)
    stopped = await begin(innkeeper, "stopped", 9 * GIB)
    await send(innkeeper, stopped, b"x" * 1000)
    assert "max_exports_gib" in (await refusal(begin(innkeeper, "next", 9 * GIB))).message
    await make_idle(innkeeper, stopped)
    following = await begin(innkeeper, "next", 9 * GIB)
    error = await refusal(send(innkeeper, stopped, b"y" * 1000))
    assert error.details["status"] == 503
    assert "max_exports_gib" in error.message
    await innkeeper.delete(f"exports/{following['id']}/")
    assert (await send(innkeeper, stopped, b"y" * 1000))["received"] == 2000
    assert "max_exports_gib" in (await refusal(begin(innkeeper, "later", 9 * GIB))).message


async def test_a_file_that_failed_takes_no_space(innkeeper: Deployment) -> None:
    limit_exports(innkeeper, total_bytes=2000)
    failed = await innkeeper.post("exports/", name="bad", sha256="0" * 64, size=1500)
    await innkeeper.fetch("update machine_export set state = 'failed' where id = $1", failed["id"])
    await begin(innkeeper, "next", 1500)


async def test_the_disk_is_promised_once_to_images_and_files(innkeeper: Deployment) -> None:
    limit_exports(innkeeper, total_bytes=2**50)
    limit_images(innkeeper, total_bytes=2**50, image_bytes=2**50)
    most = free_bytes(innkeeper) * 2 // 3
    first = await begin(innkeeper, "first", most)
    assert "disk" in (await refusal(begin(innkeeper, "second", most))).message
    assert "disk" in (await refusal(declare(innkeeper, b"", name="custom/a", size=most, sha256="1" * 64))).message
    await innkeeper.delete(f"exports/{first['id']}/")
    await declare(innkeeper, b"", name="custom/a", size=most, sha256="1" * 64)
    assert "disk" in (await refusal(begin(innkeeper, "second", most))).message


async def test_an_image_whose_upload_stops_is_promised_no_more_than_what_has_come(innkeeper: Deployment) -> None:
    data = raw_disk()
    limit_images(innkeeper, total_bytes=2 * len(data) - 1000)
    stopped = await declare(innkeeper, data)
    await append(innkeeper, stopped, data[:500])
    other = {"name": "custom/y", "sha256": "1" * 64}
    assert "max_images_gib" in (await refusal(declare(innkeeper, data, **other))).message
    await make_image_idle(innkeeper, stopped)
    following = await declare(innkeeper, data, **other)
    assert "max_images_gib" in (await refusal(append(innkeeper, stopped, data[500:600]))).message
    await innkeeper.delete(f"boot-resources/{following['id']}/")
    await append(innkeeper, stopped, data[500:600])
    assert "max_images_gib" in (await refusal(declare(innkeeper, data, **other))).message

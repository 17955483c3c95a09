"""The image catalogue: uploads in parts, what is shown of them, and what is shared and deleted."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from common.errors import InvalidRequest
from innkeeper.http import Api
from innkeeper.request_body import Body
from regiond.images.service import Images
from regiond.requests.request_limits import BURST_S, LONG_BODY_BYTES_PER_S
from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user
from tests.support.disk_images import append, checked, declare, qcow2, raw_disk, upload
from tests.support.rejections import invalid_fields, rejected_status, rejection
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

MIB = 2**20


def files(innkeeper: Deployment, kind: str) -> list[str]:
    """The names of the files in the region's folder."""
    return sorted(one.name for one in (innkeeper.folder / "region" / "images" / kind).iterdir())


async def kinds(innkeeper: Deployment) -> list[str]:
    """The events of images, oldest first."""
    rows = await innkeeper.fetch("select kind from event where kind like 'image%' order by id")
    return [row["kind"] for row in rows]


async def test_an_image_in_parts_becomes_ready(rackless: Deployment, tmp_path: Path) -> None:
    data = qcow2(tmp_path / "disk.qcow2", data=bytes(range(256)) * 4096 * 4)
    entry = await declare(rackless, data, name="ubuntu/noble", title="Noble", filetype="qcow2")
    assert (entry["state"], entry["received"], entry["size"]) == ("uploading", 0, len(data))
    part = await append(rackless, entry, data[:MIB])
    assert (part["state"], part["received"]) == ("uploading", MIB)
    assert files(rackless, "uploads") == [str(entry["id"])]
    await append(rackless, part, data[MIB:])
    ready = await checked(rackless, entry)
    (one_set,) = ready.pop("sets").values()
    assert one_set["complete"]
    assert "upload_uri" not in one_set["files"]["root-dd"]
    assert {name: ready[name] for name in ("type", "name", "architecture", "subarches", "title", "state", "error")} == {
        "type": "Uploaded", "name": "ubuntu/noble", "architecture": "amd64/generic", "subarches": "generic",
        "title": "Noble", "state": "ready", "error": None,
    }  # fmt: skip
    assert (ready["format"], ready["virtual_size"], ready["expires"]) == ("qcow2", 4 * MIB, None)
    assert await rackless.get("boot-resources/") == [ready]
    assert (files(rackless, "uploads"), files(rackless, "sha256")) == ([], [hashlib.sha256(data).hexdigest()])
    assert await kinds(rackless) == ["image_added", "image_uploaded", "image_ready"]


async def test_a_raw_disk_is_found_by_its_content(rackless: Deployment) -> None:
    ready = await upload(rackless, raw_disk(3 * MIB), filetype="")
    assert (ready["state"], ready["format"], ready["virtual_size"]) == ("ready", "raw", 3 * MIB)


async def test_a_bare_name_is_a_custom_image(rackless: Deployment) -> None:
    assert (await upload(rackless, raw_disk(), name="x"))["name"] == "custom/x"


async def test_a_short_image_comes_with_its_declaration(rackless: Deployment) -> None:
    data = raw_disk(MIB)
    body = (
        b"".join(
            b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % one
            for one in ((b"name", b"x"), (b"architecture", b"amd64"))
        )
        + b'--b\r\nContent-Disposition: form-data; name="content"; filename="disk"\r\n\r\n'
        + data
        + b"\r\n--b--\r\n"
    )
    answer = await rackless.api.send("POST", "boot-resources/", body=Raw(content=body), headers={})
    assert answer.status == 201
    ready = await checked(rackless, answer.json())
    assert (ready["state"], ready["sha256"]) == ("ready", hashlib.sha256(data).hexdigest())


class Raw(Body):
    """A multipart body as other clients make one."""

    def encoded(self) -> tuple[bytes, str]:
        return self.content or b"", "multipart/form-data; boundary=b"


@pytest.mark.slow
async def test_an_upload_resumes_where_it_ended(rackless: Deployment) -> None:
    data = raw_disk(3 * MIB)
    entry = await declare(rackless, data)
    await append(rackless, entry, data[:MIB], offset=0)
    refused = await rejection(append(rackless, entry, data[2 * MIB :], offset=2 * MIB))
    assert (refused.details["status"], refused.message) == (
        409, f"The upload has {MIB} bytes: continue with offset={MIB}.",
    )  # fmt: skip
    again = await declare(rackless, data)
    assert (again["id"], again["received"]) == (entry["id"], MIB)
    await append(rackless, again, data[MIB:], offset=MIB)
    assert (await checked(rackless, entry))["state"] == "ready"
    complete = await declare(rackless, data)
    assert (complete["id"], complete["state"]) == (entry["id"], "ready")
    assert await rejected_status(append(rackless, entry, b"more")) == 409


@pytest.mark.slow
async def test_other_content_replaces_an_unfinished_upload(rackless: Deployment) -> None:
    first, second = raw_disk(2 * MIB), raw_disk(2 * MIB, seed=1)
    old = await declare(rackless, first)
    await append(rackless, old, first[:MIB])
    new = await declare(rackless, second)
    assert (new["id"] != old["id"], new["received"]) == (True, 0)
    assert await rejected_status(append(rackless, old, first[MIB:])) == 404
    await eventually(lambda: files(rackless, "uploads") == [])
    ready = await upload(rackless, second)
    assert (ready["id"], ready["state"]) == (new["id"], "ready")
    assert await rejected_status(declare(rackless, first)) == 409


@pytest.mark.slow
async def test_equal_content_is_stored_and_sent_once(rackless: Deployment) -> None:
    data = raw_disk()
    first = await upload(rackless, data, name="ubuntu/noble")
    second = await declare(rackless, data, name="custom/mine")
    assert (second["state"], second["format"], second["id"] != first["id"]) == ("ready", "raw", True)
    assert len(files(rackless, "sha256")) == 1
    wrong = declare(rackless, data, name="custom/other", filetype="qcow2")
    assert list(await invalid_fields(wrong)) == ["filetype"]
    await rackless.delete(f"boot-resources/{first['id']}/")
    await rackless.region.components.image_tasks.clean_up()
    assert len(files(rackless, "sha256")) == 1
    await rackless.delete(f"boot-resources/{second['id']}/")
    await eventually(lambda: files(rackless, "sha256") == [])


async def test_deleting_an_upload_removes_its_file(rackless: Deployment) -> None:
    data = raw_disk(2 * MIB)
    entry = await declare(rackless, data)
    await append(rackless, entry, data[:MIB])
    plan = (await rackless.delete(f"boot-resources/{entry['id']}/", dry_run="true")).json()
    assert plan["deleted"] == [{"kind": "image", "id": str(entry["id"]), "name": "custom/x"}]
    assert files(rackless, "uploads") == [str(entry["id"])]
    await rackless.delete(f"boot-resources/{entry['id']}/")
    await eventually(lambda: files(rackless, "uploads") == [])
    assert await rackless.get("boot-resources/") == []
    assert await rejected_status(append(rackless, entry, data[MIB:])) == 404


async def test_users_read_and_administrators_write(rackless: Deployment) -> None:
    entry = await upload(rackless, raw_disk())
    ann = await as_user(rackless, "ann")
    assert [one["id"] for one in await ann.get("boot-resources/")] == [entry["id"]]
    assert (await ann.get(f"boot-resources/{entry['id']}/"))["state"] == "ready"
    data = raw_disk(seed=1)
    uploading = await declare(rackless, data, name="y")
    for attempt in (
        declare(ann, data, name="z"),
        append(ann, uploading, data),
        ann.delete(f"boot-resources/{entry['id']}/"),
    ):
        assert await rejected_status(attempt) == 403
    anonymous = evolve(rackless, other_account=Api(rackless.api.url, None))
    assert await rejected_status(append(anonymous, uploading, data)) == 401


@pytest.mark.slow
async def test_each_architecture_of_the_hosts_has_an_entry(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    (listed,) = await innkeeper.get("boot-resources/")
    assert (listed["id"], listed["type"], listed["architecture"], listed["state"]) == (
        1,
        "Synced",
        "amd64/generic",
        None,
    )
    assert {"resource_uri", "name", "subarches", "title"} <= listed.keys()
    assert (await innkeeper.get("boot-resources/1/"))["sets"] == {}
    assert await rejected_status(innkeeper.delete("boot-resources/1/")) == 404
    await upload(innkeeper, raw_disk())
    for wanted, number in (("synced", 1), ("uploaded", 1), ("all", 2), ("generated", 0)):
        answer = await innkeeper.send("GET", "boot-resources/", query=[("type", wanted)])
        assert len(answer.json()) == number, wanted


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"name": "a/b/c"}, "name", "'a/b/c' is no name of an image"),
        ({"name": "../x"}, "name", "'../x' is no name of an image"),
        ({"architecture": "vax"}, "architecture", "'vax' is not one of: amd64"),
        ({"filetype": "tgz"}, "filetype", "Images of the type tgz are root file systems"),
        ({"filetype": "vmdk"}, "filetype", "'vmdk' is not one of: "),
        ({"sha256": "12"}, "sha256", "'12' is no SHA-256"),
        ({"size": 21 * 2**30}, "size", "An image has 1 byte to 20 GiB"),
    ],
)
async def test_a_wrong_declaration_names_the_field(
    rackless: Deployment, fields: dict[str, Any], field: str, reason: str
) -> None:
    problems = await invalid_fields(declare(rackless, raw_disk(), **fields))
    assert (list(problems), problems[field][0].startswith(reason)) == ([field], True), problems
    assert await rackless.get("boot-resources/") == []


async def test_the_size_is_needed_without_content(rackless: Deployment) -> None:
    problems = await invalid_fields(rackless.post("boot-resources/", name="x", architecture="amd64"))
    assert list(problems) == ["size"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
async def test_an_upload_may_have_no_declared_hash(rackless: Deployment, pack: Callable[[bytes], bytes]) -> None:
    data = pack(raw_disk())
    entry = await declare(rackless, data, sha256="")
    assert (entry["state"], entry["sha256"]) == ("uploading", None)
    again = await declare(rackless, data, sha256="")
    assert again["id"] != entry["id"]  # nobody knows whether it is the same file
    await declare(rackless, data, name="y", sha256="")
    await append(rackless, again, data)
    ready = await checked(rackless, again)
    assert (ready["state"], ready["sha256"]) == ("ready", hashlib.sha256(data).hexdigest())
    assert files(rackless, "sha256") == [hashlib.sha256(raw_disk()).hexdigest()]
    assert (await declare(rackless, data))["id"] == ready["id"]


@pytest.mark.slow
async def test_uploads_are_not_slowed_down_by_the_limit_of_long_bodies(rackless: Deployment) -> None:
    data = raw_disk(int(1.2 * LONG_BODY_BYTES_PER_S * BURST_S) // 512 * 512)
    assert (await upload(rackless, data))["state"] == "ready"


@pytest.mark.slow
async def test_parts_at_the_same_time_do_not_mix(rackless: Deployment) -> None:
    data = raw_disk(2 * MIB)
    entry = await declare(rackless, data)
    attempts = [append(rackless, entry, data[:MIB], offset=0) for _ in range(6)]
    found = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in found) == 1
    await append(rackless, entry, data[MIB:], offset=MIB)
    assert (await checked(rackless, entry))["state"] == "ready"


async def test_a_part_beyond_the_declared_size_is_refused(rackless: Deployment) -> None:
    data = raw_disk()
    entry = await declare(rackless, data)
    with pytest.raises(InvalidRequest):
        await append(rackless, entry, data + b"x")
    with pytest.raises(InvalidRequest):
        await append(rackless, entry, b"")
    assert (await rackless.get(f"boot-resources/{entry['id']}/"))["received"] == 0


async def test_deployments_find_ready_images_only(rackless: Deployment) -> None:
    images = rackless.region.components.services.images
    assert isinstance(images, Images)
    ready = await upload(rackless, raw_disk(), name="ubuntu/noble")
    await declare(rackless, raw_disk(seed=1), name="later")
    assert (await images.find_for_deployment("", "amd64/generic")).id == ready["id"]
    found = await images.find_for_deployment("noble", "amd64")
    assert images.content_path(found).read_bytes() == raw_disk()
    problems = await invalid_fields(images.find_for_deployment("later", "amd64"))
    assert problems == {"distro_series": ["The image custom/later is not ready, it is uploading."]}

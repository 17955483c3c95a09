"""Images that are uploaded compressed or in an archive: stored unpacked, bounded, and refused with the reason."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.images.test_image_upload_command import logged_in
from tests.integration.images.test_images import files
from tests.support.disk_images import MIB, append, checked, declare, qcow2, raw_disk, upload
from tests.support.rejections import invalid_fields
from tests.support.waiting import eventually
from tests.unit.command.processes import in_shell

pytestmark = pytest.mark.database

METADATA = b"architecture: x86_64\nproperties:\n  os: Debian\n  release: bookworm\n"


def archive(members: dict[str, bytes], mode: str = "w") -> bytes:
    """A tar file; `mode` as tarfile takes it, such as `w:xz`."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:  # type: ignore[call-overload]  # the mode is a variable here
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("filetype", "pack", "packing"),
    [
        ("ddgz", gzip.compress, "gzip"),
        ("ddxz", lzma.compress, "xz"),
        ("ddbz2", bz2.compress, "bzip2"),
        ("ddtar", lambda disk: archive({"disk.img": disk}), "tar"),
        ("ddtgz", lambda disk: archive({"./disk.img": disk}, "w:gz"), "tar+gzip"),
        ("ddtxz", lambda disk: archive({"a/disk.img": disk}, "w:xz"), "tar+xz"),
        ("ddtbz", lambda disk: archive({"disk.img": disk}, "w:bz2"), "tar+bzip2"),
        ("", gzip.compress, "gzip"),
    ],
)
async def test_a_packed_disk_is_stored_unpacked(
    rackless: Deployment, filetype: str, pack: Callable[[bytes], bytes], packing: str
) -> None:
    disk = raw_disk(3 * MIB) + bytes(range(256)) * 4096 + bytes(2 * MIB)
    packed = pack(disk)
    ready = await upload(rackless, packed, filetype=filetype)
    assert (ready["state"], ready["format"], ready["packing"]) == ("ready", "raw", packing), ready["error"]
    assert (ready["size"], ready["received"], ready["sha256"]) == (
        len(packed), len(packed), hashlib.sha256(packed).hexdigest(),
    )  # fmt: skip
    stored = hashlib.sha256(disk).hexdigest()
    assert (ready["content_sha256"], ready["content_size"], ready["virtual_size"]) == (stored, len(disk), len(disk))
    assert (files(rackless, "unpacked"), files(rackless, "sha256")) == ([], [stored])
    await eventually(lambda: files(rackless, "uploads") == [])
    assert (rackless.folder / "region" / "images" / "sha256" / stored).read_bytes() == disk


async def test_a_compressed_qcow2_image_is_found_by_its_content(rackless: Deployment, tmp_path: Path) -> None:
    data = qcow2(tmp_path / "disk", data=raw_disk(MIB))
    ready = await upload(rackless, lzma.compress(data))
    assert (ready["format"], ready["packing"], ready["content_size"]) == ("qcow2", "xz", len(data))
    failed = await upload(rackless, gzip.compress(data), name="y", filetype="ddgz")
    assert failed["error"] == (
        "The content is a qcow2 image, packed with gzip; ddgz was declared. Leave the file type out."
    )


async def test_the_disk_of_an_lxd_image_is_taken(rackless: Deployment, tmp_path: Path) -> None:
    disk = qcow2(tmp_path / "disk", data=raw_disk(MIB))
    members = {"metadata.yaml": METADATA, "templates/hosts.tpl": b"127.0.0.1", "rootfs.img": disk}
    ready = await upload(rackless, archive(members, "w:xz"), filetype="lxd")
    assert (ready["state"], ready["format"], ready["packing"]) == ("ready", "qcow2", "tar+xz"), ready["error"]
    assert ready["content_sha256"] == hashlib.sha256(disk).hexdigest()


async def test_an_lxd_image_of_another_architecture_fails(rackless: Deployment) -> None:
    data = archive({"metadata.yaml": METADATA, "rootfs.img": raw_disk()})
    failed = await upload(rackless, data, architecture="arm64")
    assert failed["error"] == "The image is for amd64; arm64 was declared."


@pytest.mark.slow
async def test_an_lxd_image_in_two_files_is_named_by_its_metadata(rackless: Deployment, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "lxd.tar.xz").write_bytes(archive({"metadata.yaml": METADATA, "templates/hosts.tpl": b"x"}, "w:xz"))
    (home / "disk.qcow2").write_bytes(qcow2(tmp_path / "disk", data=raw_disk()))
    (home / "other.tar").write_bytes(archive({"hosts.tpl": b"x"}))
    await logged_in(rackless, home)
    words = f"innkeeper admin boot-resources create content@={home}/disk.qcow2"
    refused = await in_shell(home, words)
    assert (refused.status != 0, "name: '' is no name of an image" in refused.err) == (True, True), refused.err
    refused = await in_shell(home, f"{words} metadata@={home}/other.tar")
    assert "metadata: The archive has no metadata.yaml of LXD." in refused.err
    refused = await in_shell(home, f"{words} metadata@={home}/lxd.tar.xz architecture=arm64")
    assert "architecture: The metadata is of an image for amd64." in refused.err
    ran = await in_shell(home, f"{words} metadata@={home}/lxd.tar.xz title=Mine")
    assert (ran.status, ran.plain["name"], ran.plain["architecture"], ran.plain["title"]) == (
        0, "debian/bookworm", "amd64/generic", "Mine",
    ), ran.err  # fmt: skip


def link() -> bytes:
    """An archive whose disk is a link to a file of the region."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("rootfs.img")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    return made.getvalue()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: gzip.compress(raw_disk())[:-9], "The file is damaged or cut off (EOFError"),
        (lambda: lzma.compress(raw_disk())[:-20], "The file is damaged or cut off (EOFError"),
        (lambda: archive({"disk": raw_disk()}, "w:gz")[:-30], "The file is damaged or cut off (EOFError"),
        (lambda: archive({"disk": raw_disk()})[: MIB // 2], "The file is damaged or cut off (ReadError"),
        (lambda: gzip.compress(gzip.compress(raw_disk())), "The content is a gzip file within the file"),
        (lambda: gzip.compress(b"<html>"), "The content begins with 3c 68 74 6d 6c 3e"),
        (lambda: archive({"a": raw_disk(), "b": raw_disk()}), "The archive has several files"),
        (lambda: archive({"metadata.yaml": METADATA, "templates/x": b"x"}), "The archive has no disk"),
        (lambda: archive({"metadata.yaml": METADATA, "rootfs/etc/passwd": b"x"}), "The archive is an image for con"),
        (lambda: archive({"../../escape": b"x"}), "The content begins with 78"),
        (link, "The archive has no disk"),
    ],
    ids=[
        "gzip cut off", "xz cut off", "archive cut off", "tar cut off", "twice", "web page", "several files",
        "only metadata", "container", "name with dots", "link",
    ],
)  # fmt: skip
async def test_what_cannot_be_unpacked_fails_with_the_reason(
    rackless: Deployment, make: Callable[[], bytes], reason: str
) -> None:
    failed = await upload(rackless, make())
    assert (failed["state"], failed["error"].startswith(reason)) == ("failed", True), failed["error"]
    assert [files(rackless, kind) for kind in ("uploads", "unpacked", "sha256")] == [[], [], []]


@pytest.mark.slow
async def test_a_bomb_is_refused_before_it_takes_the_disk(tmp_path: Path, database_url: str) -> None:
    bomb = gzip.compress(raw_disk(64 * MIB) + b"x" * 64 * MIB)
    async with deployed(tmp_path, database_url, max_image_gib=0.01, max_images_gib=0.025) as innkeeper:
        failed = await upload(innkeeper, bomb)
        assert failed["error"] == ("Unpacked, the image is larger than 10.24 MiB (the region's setting max_image_gib).")
        assert (files(innkeeper, "unpacked"), files(innkeeper, "uploads")) == ([], [])
        for seed in range(2):
            disk = raw_disk(9 * MIB, seed=seed) + bytes([seed]) * MIB
            assert (await upload(innkeeper, disk, name=f"n{seed}"))["state"] == "ready"
        failed = await upload(innkeeper, gzip.compress(raw_disk(10 * MIB, seed=7)))
        assert failed["error"] == (
            "Unpacked, the image is larger than the 5.6 MiB that images may still take of 25.6 MiB (the region's "
            "setting max_images_gib)."
        )


async def test_the_same_packed_file_is_sent_once(rackless: Deployment) -> None:
    packed = gzip.compress(raw_disk())
    first = await upload(rackless, packed)
    assert (await declare(rackless, packed))["id"] == first["id"]
    second = await declare(rackless, packed, name="y", filetype="ddgz")
    assert (second["state"], second["packing"], second["content_sha256"]) == ("ready", "gzip", first["content_sha256"])
    unpacked = await declare(rackless, raw_disk(), name="z")
    assert (unpacked["state"], unpacked["packing"], unpacked["sha256"]) == ("ready", "none", first["content_sha256"])
    assert list(await invalid_fields(declare(rackless, packed, name="u", filetype="ddxz"))) == ["filetype"]
    assert list(await invalid_fields(declare(rackless, raw_disk(), name="u", filetype="ddgz"))) == ["filetype"]


async def test_an_interrupted_unpacking_begins_again(tmp_path: Path, database_url: str) -> None:
    packed = gzip.compress(raw_disk())
    async with deployed(tmp_path, database_url) as innkeeper:
        entry = await declare(innkeeper, packed)
        await innkeeper.in_process.stop_region()
        folder = innkeeper.folder / "region" / "images"
        (folder / "uploads" / str(entry["id"])).write_bytes(packed)
        (folder / "unpacked" / str(entry["id"])).write_bytes(b"half of an unpacked disk, and longer than its beginning")
        (folder / "unpacked" / "4711").write_bytes(b"of an entry that is gone")
        async with innkeeper.connection() as db:
            await db.execute(
                "update image set state = 'checking', received_bytes = size_bytes, expires_at = null where id = $1",
                entry["id"],
            )
        await innkeeper.in_process.start_region()
        ready = await checked(innkeeper, entry)
        assert (ready["state"], ready["content_sha256"]) == ("ready", hashlib.sha256(raw_disk()).hexdigest())
        await innkeeper.region.components.image_tasks.clean_up()
        assert (files(innkeeper, "unpacked"), files(innkeeper, "uploads")) == ([], [])


async def test_a_lost_content_is_sent_again_as_it_was_declared(rackless: Deployment) -> None:
    packed = gzip.compress(raw_disk())
    ready = await upload(rackless, packed)
    (rackless.folder / "region" / "images" / "sha256" / ready["content_sha256"]).unlink()
    await rackless.region.components.image_tasks.clean_up()
    failed = await rackless.get(f"boot-resources/{ready['id']}/")
    assert (failed["state"], failed["sha256"], failed["size"]) == ("failed", ready["sha256"], len(packed))
    await append(rackless, failed, packed)
    assert (await checked(rackless, failed))["content_sha256"] == ready["content_sha256"]

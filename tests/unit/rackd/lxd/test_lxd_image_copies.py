"""Copies of images in LXD's answers: in the image store, and unpacked into storage pools."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from common.disks.volume_names import marker_of_artifact
from common.hosts.discovery import ImageCopy
from rackd.drivers.lxd.inventory.image_copies import copies_of, iso_copies_of
from rackd.drivers.lxd.inventory.iso_volumes import COMPLETE, iso_volume_name, sha256_of_name
from rackd.drivers.lxd.inventory.volume_index import Volume

SHA256, FINGERPRINT = "5e" * 32, "0a" * 32
IN_STORE = ImageCopy(sha256=SHA256, size_bytes=1024)


def image(**properties: str) -> dict[str, Any]:
    ours = {"innkeeper.sha256": SHA256, "innkeeper.disk_bytes": "4096"}
    return {
        "fingerprint": FINGERPRINT, "type": "virtual-machine", "size": 1024, "properties": {**ours, **properties},
    }  # fmt: skip


def volume(pool: str, *, location: str = "", type_: str = "image", name: str = FINGERPRINT) -> Volume:
    return Volume(
        pool=pool, project="default", type=type_, name=name, location=location, block=True, size_bytes=0, used_by=()
    )


def iso(pool: str = "fast", *, suffix: str = "0000", location: str = "", description: str = COMPLETE) -> Volume:
    found = volume(pool, location=location, type_="custom", name=iso_volume_name(SHA256, suffix))
    return evolve(found, block=False, size_bytes=2048, description=description)


def iso_copy(pool: str = "fast", *, size: int = 2048, complete: bool = True) -> ImageCopy:
    return ImageCopy(sha256=SHA256, pool_id=pool, size_bytes=size, complete=complete)


@pytest.mark.parametrize("sha256", [SHA256, "00" * 32, "ff" * 32])
def test_the_name_of_an_iso_volume_says_its_image(sha256: str) -> None:
    name = iso_volume_name(sha256, "12ef")
    assert (len(name), sha256_of_name(name), marker_of_artifact(name)) == (64, sha256, None)
    for other in (name[:-1], f"{name}0", name.upper(), name.replace("ik-iso", "iso"), ""):
        assert sha256_of_name(other) == ""


def test_iso_images_in_pools_are_copies() -> None:
    volumes = [iso(), iso("slow", description=""), volume("fast"), volume("data", type_="custom")]
    assert list(iso_copies_of(volumes, None)) == [iso_copy(), iso_copy("slow", complete=False)]
    both = [iso(suffix="0001", description=""), iso()]
    assert list(iso_copies_of(both, None)) == [iso_copy(size=4096)]


def test_an_iso_image_of_another_cluster_member_does_not_count() -> None:
    volumes = [iso(location="m1"), iso("slow", location="m2"), iso("shared", location="none")]
    assert [copy.pool_id for copy in iso_copies_of(volumes, "m1")] == ["fast", "shared"]


def test_a_copy_is_in_the_store_and_in_each_pool_that_has_it_unpacked() -> None:
    volumes = [volume("fast"), volume("slow"), volume("other", name="ff" * 32), volume("data", type_="custom")]
    assert list(copies_of([image()], volumes, None)) == [
        IN_STORE,
        ImageCopy(sha256=SHA256, pool_id="fast", size_bytes=4096),
        ImageCopy(sha256=SHA256, pool_id="slow", size_bytes=4096),
    ]


def test_the_pools_of_another_cluster_member_do_not_count() -> None:
    volumes = [volume("fast", location="m1"), volume("slow", location="m2")]
    assert [copy.pool_id for copy in copies_of([image()], volumes, "m1")] == ["", "fast"]


@pytest.mark.parametrize("foreign", ["", "x", "5E" * 32, f"{SHA256}\n", "5e" * 31])
def test_images_of_others_are_ignored(foreign: str) -> None:
    assert list(copies_of([image(**{"innkeeper.sha256": foreign})], [volume("fast")], None)) == []


def test_a_container_image_and_one_without_properties_are_ignored() -> None:
    container = {**image(), "type": "container"}
    assert list(copies_of([container, {**image(), "properties": None}], [], None)) == []


@pytest.mark.parametrize("size", ["", "-1", "many", "0"])
def test_without_the_size_of_the_disk_only_the_store_counts(size: str) -> None:
    assert list(copies_of([image(**{"innkeeper.disk_bytes": size})], [volume("fast")], None)) == [IN_STORE]

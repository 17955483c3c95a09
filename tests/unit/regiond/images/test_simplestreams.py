"""The metadata of simplestreams servers: which disk a name means, and that strange metadata is only refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.images.downloads.imports import MAX_METADATA_BYTES
from regiond.images.downloads.simplestreams import BadStream, StreamDisk, choose_disk, product_files
from tests.doubles.stream_tree import index, lxd, products, ubuntu
from tests.support.loop_pauses import LONGEST_S, watched_loop

UBUNTU = ubuntu(b"new")["/releases/streams/v1/com.ubuntu.cloud:released:download.json"]
LXD = lxd(b"cloud")["/streams/v1/images.json"]
DOWNLOADS = {"datatype": "image-downloads", "path": "b"}
TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def choose(image: str, architecture: str = "amd64", version: str = "") -> StreamDisk:
    return choose_disk([UBUNTU, LXD], image, architecture, version)


@pytest.mark.parametrize("name", ["noble", "24.04", "ubuntu/noble", "com.ubuntu.cloud:server:24.04:amd64", " Noble "])
def test_an_image_has_several_names(name: str) -> None:
    found = choose(name)
    assert (found.name, found.title, found.version) == ("ubuntu/noble", "Ubuntu 24.04 LTS", "20240608")
    assert (found.path, found.size_bytes) == ("server/releases/noble/release-20240608/disk.img", 3)


def test_an_older_version_is_taken_on_request() -> None:
    assert choose("noble", version="20240423").path == "server/releases/noble/release-20240423/disk.img"
    with pytest.raises(InvalidRequest, match="20240608, 20240423"):
        choose("noble", version="20200101")


@pytest.mark.parametrize("name", ["debian/12", "debian/bookworm", "bookworm", "debian/12/cloud"])
def test_the_variant_with_cloud_init_is_preferred(name: str) -> None:
    assert choose(name).path == "images/debian/bookworm/amd64/cloud/disk.qcow2"


def test_a_variant_can_be_named_by_its_product() -> None:
    assert choose("debian:bookworm:amd64:default").path == "images/debian/bookworm/amd64/default/disk.qcow2"


@pytest.mark.parametrize("name", ["hardy", "plucky", ""])
def test_an_unknown_image_names_those_that_there_are(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        choose(name)
    (reason,) = refused.value.fields["image"]
    assert "debian/bookworm/cloud" in reason
    assert "default" in reason
    assert reason.endswith("The server has disks of VMs for amd64 of 3 images.")


def test_another_architecture_has_other_images() -> None:
    assert choose("noble", "arm64").version == "20240608"
    with pytest.raises(InvalidRequest, match="for arm64 of 1 images"):
        choose("debian/12", "arm64")


def test_only_lists_of_downloads_are_read() -> None:
    assert product_files(index("a.json", aws={"datatype": "image-ids", "path": "b.json"})) == ("a.json",)


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (lambda: product_files(b"<html>"), "The server's index is no JSON object."),
        (lambda: product_files(b"[" * 100_000), "The server's index has more than 100 levels of lists and objects."),
        (lambda: product_files(b'{"index": {}}'), "The server's index names no images."),
        (
            lambda: product_files(index("a", **dict.fromkeys("bcdefghij", DOWNLOADS))),
            "The server's index names 10 lists of images; the most are 8.",
        ),
        (lambda: choose_disk([b"1"], "noble", "amd64"), "The server's list of images is no JSON object."),
        (
            lambda: choose_disk([UBUNTU.replace(b'"sha256": "', b'"sha256": "x')], "noble", "amd64"),
            "as a SHA-256 of 'ubuntu/noble'.",
        ),
    ],
)  # fmt: skip
def test_bad_metadata_is_refused(read: Callable[[], object], reason: str) -> None:
    with pytest.raises(BadStream) as refused:
        read()
    assert str(refused.value).endswith(reason)


@given(st.dictionaries(st.sampled_from(["arch", "os", "release", "aliases", "versions", "variant"]), JSON), JSON)
def test_any_metadata_gives_an_answer_or_a_refusal(product: dict[str, object], other: object) -> None:
    product.setdefault("arch", "amd64")
    for data in (products({"p": product, "q": other}), json.dumps(other).encode()):
        for read in (lambda data=data: choose_disk([data], "noble", "amd64"), lambda data=data: product_files(data)):
            try:
                read()
            except (BadStream, InvalidRequest):
                continue


@pytest.mark.parametrize(
    ("unit", "problem"),
    [(b"{},", "more than 2000000 values"), (b"[],", "lists of more than 100000 values without an object")],
)
async def test_metadata_of_too_many_values_delay_nothing_else(unit: bytes, problem: str) -> None:
    content = b"[" + unit * (MAX_METADATA_BYTES // 3) + b"0]"
    async with watched_loop() as pauses:
        with pytest.raises(BadStream, match=f"The server's index has {problem}"):
            await asyncio.to_thread(product_files, content)
    assert pauses.longest_s < LONGEST_S

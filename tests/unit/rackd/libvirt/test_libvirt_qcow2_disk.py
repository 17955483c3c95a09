"""The disk in a qcow2 image is read as qemu-img reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DriverFailed, InnkeeperError, Unsupported
from common.guests.deployment_spec import ImageFormat, ImageRef
from rackd.drivers.libvirt.deployment.qcow2_disk import disk_parts
from tests.support.disk_images import MIB, qcow2

NOISE = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(MIB // 32))
# Text that compresses, noise that does not, zeros; the end is within a cluster.
DISK = (b"text" * 50_000).ljust(MIB, b"\0") + NOISE + bytes(3 * MIB) + b"end".rjust(3584, b"!")


@frozen
class Content:
    data: bytes

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def ref(data: bytes, disk_bytes: int = len(DISK)) -> ImageRef:
    return ImageRef(
        sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), virtual_size_bytes=disk_bytes,
        format=ImageFormat.QCOW2,
    )  # fmt: skip


def disk_in(data: bytes, disk_bytes: int = len(DISK)) -> bytes:
    return b"".join(disk_parts(ref(data, disk_bytes), Content(data)))


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-c",),
        ("-o", "compat=0.10"),
        ("-c", "-o", "compat=0.10,cluster_size=4k"),
        ("-o", "cluster_size=2M"),
        ("-c", "-o", "cluster_size=512"),
        ("-o", "preallocation=metadata"),
        ("-S", "0"),
    ],
    ids=" ".join,
)
def test_the_disk_is_what_qemu_img_put_in(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert disk_in(qcow2(tmp_path / "image", *options, data=DISK)) == DISK


def test_an_empty_image_is_zeros(tmp_path: Path) -> None:
    assert disk_in(qcow2(tmp_path / "image", size="3M"), 3 * MIB) == bytes(3 * MIB)


@pytest.mark.parametrize(
    "options", [("-c", "-o", "compression_type=zstd"), ("-o", "extended_l2=on,cluster_size=128k")], ids=["zstd", "L2"]
)
def test_what_cannot_be_read_is_said(tmp_path: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(Unsupported, match="qemu-img convert -O raw"):
        disk_in(qcow2(tmp_path / "image", *options, data=DISK))


def test_another_size_than_the_regions_is_refused(tmp_path: Path) -> None:
    data = qcow2(tmp_path / "image", data=DISK)
    with pytest.raises(DriverFailed, match=f"{len(DISK)} bytes"):
        list(disk_parts(evolve(ref(data), virtual_size_bytes=2 * MIB), Content(data)))


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return qcow2(tmp_path_factory.mktemp("qcow2") / "image", "-c", data=DISK)


@given(st.data())
@settings(max_examples=100)
def test_damaged_images_end_with_an_error_or_a_whole_disk(compressed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(compressed)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, 120) | st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.sampled_from([len(damaged), len(damaged) // 2]))])
    try:
        found = disk_in(cut)
    except InnkeeperError:
        return
    assert len(found) == len(DISK)

"""The size of a disk is found in the first MiB of an image that LXD exports, or is unknown."""

from __future__ import annotations

import io
import lzma
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackd.drivers.lxd.guests.image_files.exported_image import disk_bytes
from rackd.drivers.lxd.guests.image_files.raw_as_qcow2 import qcow2_head

MIB = 1024 * 1024
DISK = b"".join(qcow2_head(3 * MIB))


def in_parts(disk: bytes = DISK, *, name: str = "rootfs.img", metadata: bytes = b"metadata") -> bytes:
    """As LXD sends an image that it has in two files."""
    parts = [("metadata", metadata), (name, disk)]
    return b"".join(
        f'--5ebd\r\nContent-Disposition: form-data; name="{name}"; filename="x"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in parts
    )


def archive(kind: str, *, disk: bytes = DISK, padding_bytes: int = 100) -> bytes:
    """As `lxc publish` and `lxc image export` of an image in one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{kind}") as files:  # type: ignore[call-overload]  # the kind is any
        for name, content in (("metadata.yaml", bytes(padding_bytes)), ("rootfs.img", disk)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_the_disk_is_in_the_second_part() -> None:
    assert disk_bytes(in_parts()) == 3 * MIB
    assert disk_bytes(in_parts(metadata=b"--5ebX\r\n\r\n" * 100)) == 3 * MIB


@pytest.mark.parametrize("kind", ["", "gz", "xz", "bz2"])
def test_the_disk_is_in_an_archive(kind: str) -> None:
    assert disk_bytes(archive(kind)[:MIB]) == 3 * MIB


WITHOUT_SIZE = {
    "empty": b"",
    "boundary": b"--",
    "squashfs": b"hsqs" + bytes(1000),
    "container": in_parts(name="rootfs.squashfs"),
    "raw": in_parts(disk=b"raw" * 100),
    "short": in_parts(disk=DISK[:24]),
    "long metadata": in_parts(metadata=bytes(MIB))[:MIB],
    "raw in an archive": archive("", disk=b"raw" * 100),
    "cut archive": archive("gz")[:100],
    "long metadata in an archive": archive("", padding_bytes=MIB)[:MIB],
    "no archive": lzma.compress(b"no archive"),
}


@pytest.mark.parametrize("beginning", WITHOUT_SIZE.values(), ids=WITHOUT_SIZE)
def test_a_size_that_is_not_there_is_unknown(beginning: bytes) -> None:
    assert disk_bytes(beginning) is None


@pytest.mark.slow
def test_an_archive_is_not_unpacked_without_end() -> None:
    assert disk_bytes(archive("xz", padding_bytes=64 * MIB)[:MIB]) is None


@given(st.one_of(st.binary(max_size=2000), st.builds(lambda tail: in_parts()[:200] + tail, st.binary(max_size=200))))
def test_any_content_gives_a_size_or_none(beginning: bytes) -> None:
    found = disk_bytes(beginning)
    assert found is None or found > 0

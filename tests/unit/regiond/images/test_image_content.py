"""The files of images: parts, locks, and what is stored once."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from common.errors import Busy, OutOfCapacity
from regiond.images.content import ContentFolder, Stopped, sha256_of

ABC = hashlib.sha256(b"abc").hexdigest()
GIB = 2**30


@pytest.fixture
def folder(tmp_path: Path) -> ContentFolder:
    return ContentFolder.open(tmp_path / "images")


def written(folder: ContentFolder, image_id: int, data: bytes, *, offset: int = 0) -> bytes:
    """The content of the upload after this part."""
    file = folder.lock(image_id)
    file.write(offset, data)
    file.close()
    return folder.upload_path(image_id).read_bytes()


def test_a_folder_keeps_its_id(folder: ContentFolder, tmp_path: Path) -> None:
    assert ContentFolder.open(tmp_path / "images").store_id == folder.store_id
    assert ContentFolder.open(tmp_path / "other").store_id != folder.store_id


def test_regions_that_start_at_once_agree_on_the_id(tmp_path: Path) -> None:
    found = set()
    threads = [
        threading.Thread(target=lambda: found.add(ContentFolder.open(tmp_path / "images").store_id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert [one.name for one in (tmp_path / "images").iterdir() if one.name.startswith(".")] == []


def test_a_part_replaces_what_an_interrupted_one_left(folder: ContentFolder) -> None:
    assert written(folder, 1, b"abcdef") == b"abcdef"
    assert written(folder, 1, b"X", offset=3) == b"abcX"


def test_an_upload_is_for_one_at_a_time(folder: ContentFolder) -> None:
    file = folder.lock(1)
    with pytest.raises(Busy):
        folder.lock(1)
    other = folder.lock(2)
    file.close()
    folder.lock(1).close()
    other.close()


def test_a_deleted_upload_is_locked_anew(folder: ContentFolder) -> None:
    old = folder.lock(1)
    folder.remove_upload(1)
    new = folder.lock(1)
    new.write(0, b"new")
    old.write(0, b"old")
    assert folder.upload_path(1).read_bytes() == b"new"
    old.close()
    new.close()


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_file_as_it_was(
    folder: ContentFolder, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    written(folder, 1, b"abc")
    file = folder.lock(1)
    real = os.pwrite

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        if offset > 3:
            raise OSError(reason, os.strerror(reason))
        return real(descriptor, data[:1], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OutOfCapacity, match="disk for images is full"):
        file.write(3, b"def")
    assert file.size_bytes() == 3
    file.close()


def test_content_is_kept_once_under_its_hash(folder: ContentFolder) -> None:
    for image_id in (1, 2):
        written(folder, image_id, b"abc")
        folder.keep(folder.upload_path(image_id), ABC)
    assert (list(folder.hashes()), list(folder.uploads())) == ([ABC], [])
    assert (folder.has(ABC, 3), folder.has(ABC, 4), folder.has("0" * 64, 3)) == (True, False, False)
    folder.remove_content(ABC)
    folder.remove_content(ABC)
    assert folder.hashes() == set()


def test_other_files_in_the_folder_are_left_alone(folder: ContentFolder) -> None:
    (folder.root / "sha256" / "README").touch()
    (folder.root / "uploads" / "note.txt").touch()
    assert folder.hashes() | {str(one) for one in folder.uploads()} == set()


def test_hashing_stops_with_the_region(folder: ContentFolder) -> None:
    written(folder, 1, b"abc")
    assert sha256_of(folder.upload_path(1), is_stopped=lambda: False) == ABC
    with pytest.raises(Stopped):
        sha256_of(folder.upload_path(1), is_stopped=lambda: True)


def test_the_reserve_of_the_disk_is_kept(tmp_path: Path) -> None:
    folder = ContentFolder.open(tmp_path / "images", free_bytes=lambda _: 10 * GIB)
    folder.require_free(8 * GIB, reserve_bytes=2 * GIB)
    with pytest.raises(OutOfCapacity) as refused:
        folder.require_free(9 * GIB, reserve_bytes=2 * GIB)
    assert refused.value.message.startswith(
        "The region's disk for images has 10 GiB free; 9 GiB more are needed, and 2 GiB stay free"
    )

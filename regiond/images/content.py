"""The files of images: uploads by id, finished content by hash. Everything here blocks: call it in threads."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from attrs import frozen

from common.process.private_files import make_usable_folder, write_private
from regiond.process.file_folder import FileFolder, UploadFile

ID_FILE = "store-id"
_CHUNK_BYTES = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Stopped(Exception):
    """The region stops: the work has ended early and will be done again."""


@frozen(kw_only=True)
class ContentFolder:
    """The folder with the files of images. `open` makes it.

    `store_id` names the folder in the database: regions that share the folder have the same id. `free_bytes` returns
    the free space of its disk.
    """

    root: Path
    store_id: UUID
    free_bytes: Callable[[], int]
    _uploads: FileFolder
    _unpacked: FileFolder
    _contents: FileFolder

    @classmethod
    def open(cls, root: Path, *, free_bytes: Callable[[Path], int] | None = None) -> ContentFolder:
        """Returns the folder; creates missing folders. Idempotent. Raises BadSettings for an unusable one, OSError."""
        make_usable_folder(root)
        free = partial(free_bytes or _free, root)
        uploads, unpacked, contents = (
            FileFolder.open(root / name, contents="images", spare="images", free_bytes=free)
            for name in ("uploads", "unpacked", "sha256")
        )
        return cls(
            root=root,
            store_id=_store_id(root / ID_FILE),
            free_bytes=free,
            uploads=uploads,
            unpacked=unpacked,
            contents=contents,
        )

    def upload_path(self, image_id: int) -> Path:
        return self._uploads.path(str(image_id))

    def unpacked_path(self, image_id: int) -> Path:
        """Returns the path of the unpacked disk of a packed upload, which is written there while it is checked."""
        return self._unpacked.path(str(image_id))

    def content_path(self, sha256: str) -> Path:
        return self._contents.path(sha256)

    def lock(self, image_id: int) -> UploadFile:
        """Opens the upload, created if it is missing, for this caller alone. Raises Busy."""
        return self._uploads.lock(str(image_id))

    def require_free(self, needed_bytes: int, *, reserve_bytes: int) -> None:
        """Raises OutOfCapacity, in numbers, if the disk would have less than the reserve afterwards."""
        self._contents.require_free(needed_bytes, reserve_bytes=reserve_bytes)

    def keep(self, path: Path, sha256: str) -> None:
        """Moves a finished file of this folder to its hash; one with the same content may be there already."""
        target = self.content_path(sha256)
        path.replace(target)
        _sync_folder(target.parent)

    def has(self, sha256: str, size_bytes: int) -> bool:
        return self._contents.has(sha256, size_bytes)

    def remove_upload(self, image_id: int) -> None:
        """Removes the upload and its unpacked disk. Idempotent. A part that is being written is lost, too."""
        self._unpacked.remove(str(image_id))
        self._uploads.remove(str(image_id))

    def remove_content(self, sha256: str) -> None:
        """Removes finished content. Idempotent."""
        self._contents.remove(sha256)

    def uploads(self) -> frozenset[int]:
        """Returns the image ids of all uploads that have a file, or an unpacked disk."""
        return frozenset(int(name) for name in self._uploads.files() | self._unpacked.files() if name.isdecimal())

    def hashes(self) -> frozenset[str]:
        """Returns the hashes of all finished content."""
        return frozenset(name for name in self._contents.files() if _SHA256.fullmatch(name))


def sha256_of(path: Path, *, is_stopped: Callable[[], bool]) -> str:
    """Returns the hash in hexadecimal. Raises Stopped, and OSError."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            if is_stopped():
                raise Stopped
            digest.update(chunk)
    return digest.hexdigest()


def head_of(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)


def _free(path: Path) -> int:
    return shutil.disk_usage(path).free


def _store_id(path: Path) -> UUID:
    """Returns the id in the file, which is created if it is missing. Regions that start at once get the same id."""
    if not path.exists():
        made = uuid4()
        whole = path.with_name(f".{ID_FILE}.{made}")
        write_private(whole, f"{made}\n")
        with suppress(FileExistsError):
            os.link(whole, path)
        whole.unlink()
    return UUID(path.read_text("ascii").strip())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

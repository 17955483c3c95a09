"""The files of images: uploads by id, finished content by hash. Everything here blocks: call it in threads."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

from attrs import define

from common.errors import Busy, OutOfCapacity
from common.process.private_files import DISK_FULL_ERRNOS, make_private_folder, make_usable_folder, write_private
from common.units import file_size

ID_FILE = "store-id"
_CHUNK_BYTES = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Stopped(Exception):
    """The region stops: the work has ended early and will be done again."""


@define
class UploadFile:
    """An upload that this process has locked. Closing it, or the end of the process, releases the lock."""

    path: Path
    descriptor: int

    def write(self, offset: int, data: bytes) -> None:
        """Returns when the data is on the disk. Drops data after `offset`: an interrupted earlier part.

        Raises OutOfCapacity, with the file as long as before, if the disk is full.
        """
        try:
            os.ftruncate(self.descriptor, offset)
            view = memoryview(data)
            while view:
                written = os.pwrite(self.descriptor, view, offset)
                view, offset = view[written:], offset + written
            os.fdatasync(self.descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self.descriptor, offset - (len(data) - len(view)))
            if error.errno in DISK_FULL_ERRNOS:
                raise OutOfCapacity(
                    "The region's disk for images is full. The upload can continue once there is space."
                ) from error
            raise

    def size_bytes(self) -> int:
        return os.fstat(self.descriptor).st_size

    def exists(self) -> bool:
        """Returns whether the file still has its name: not after the image was deleted or its content was moved."""
        return self.path.exists()

    def close(self) -> None:
        os.close(self.descriptor)


@define
class ContentFolder:
    """The folder with the files of images. `open` makes it.

    `store_id` names the folder in the database: regions that share the folder have the same id. `_free_bytes` returns
    the free space of the disk of a path.
    """

    root: Path
    store_id: UUID
    _free_bytes: Callable[[Path], int]

    @classmethod
    def open(cls, root: Path, *, free_bytes: Callable[[Path], int] | None = None) -> ContentFolder:
        """Returns the folder; creates missing folders. Idempotent. Raises BadSettings for an unusable one, OSError."""
        make_usable_folder(root)
        for folder in (root / "uploads", root / "unpacked", root / "sha256"):
            make_private_folder(folder)
        return cls(root, _store_id(root / ID_FILE), free_bytes or _free)

    def free_bytes(self) -> int:
        return self._free_bytes(self.root)

    def upload_path(self, image_id: int) -> Path:
        return self.root / "uploads" / str(image_id)

    def unpacked_path(self, image_id: int) -> Path:
        """Returns the path of the unpacked disk of a packed upload, which is written there while it is checked."""
        return self.root / "unpacked" / str(image_id)

    def content_path(self, sha256: str) -> Path:
        return self.root / "sha256" / sha256

    def lock(self, image_id: int) -> UploadFile:
        """Opens the upload, created if it is missing, for this caller alone. Raises Busy."""
        path = self.upload_path(image_id)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_same_file(path, descriptor):
                    return UploadFile(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                raise Busy("Another request writes to this upload, or its content is being checked.") from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # deleted or moved between the two calls: another file may have the name now

    def keep(self, path: Path, sha256: str) -> None:
        """Moves a finished file of this folder to its hash; one with the same content may be there already."""
        target = self.content_path(sha256)
        path.replace(target)
        _sync_folder(target.parent)

    def has(self, sha256: str, size_bytes: int) -> bool:
        path = self.content_path(sha256)
        return path.is_file() and path.stat().st_size == size_bytes

    def remove_upload(self, image_id: int) -> None:
        """Removes the upload and its unpacked disk. Idempotent. A part that is being written is lost, too."""
        self.unpacked_path(image_id).unlink(missing_ok=True)
        self.upload_path(image_id).unlink(missing_ok=True)

    def remove_content(self, sha256: str) -> None:
        """Removes finished content. Idempotent."""
        self.content_path(sha256).unlink(missing_ok=True)

    def uploads(self) -> frozenset[int]:
        """Returns the image ids of all uploads that have a file, or an unpacked disk."""
        found = (one.name for name in ("uploads", "unpacked") for one in (self.root / name).iterdir())
        return frozenset(int(name) for name in found if name.isdecimal())

    def hashes(self) -> frozenset[str]:
        """Returns the hashes of all finished content."""
        return frozenset(one.name for one in (self.root / "sha256").iterdir() if _SHA256.fullmatch(one.name))


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


def require_free(folder: ContentFolder, needed_bytes: int, *, reserve_bytes: int) -> None:
    """Raises OutOfCapacity, in numbers, if the disk would have less than the reserve afterwards."""
    free = folder.free_bytes()
    if free - needed_bytes < reserve_bytes:
        raise OutOfCapacity(
            f"The region's disk for images has {file_size(free)} free; {file_size(needed_bytes)} more are needed, and "
            f"{file_size(reserve_bytes)} stay free (the region's setting image_reserve_gib). Delete images that are "
            "not needed any more."
        )


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


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A folder with large files, which grow by parts, and the space of its disk. All but `locked` blocks."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from attrs import define, frozen

from common.errors import Busy, OutOfCapacity
from common.process.private_files import DISK_FULL_ERRNOS, make_private_folder
from common.units import file_size

T = TypeVar("T")


class Threads(Protocol):
    """Threads for the files, so that a slow disk delays nothing else."""

    def is_stopped(self) -> bool: ...
    async def run(self, work: Callable[[], T]) -> T: ...


@define
class UploadFile:
    """An upload that this process has locked. Closing it, or the end of the process, releases the lock.

    `contents` says what the folder is for, in messages.
    """

    path: Path
    descriptor: int
    contents: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def write(self, offset: int, data: bytes) -> None:
        """Returns when the data is on the disk. Drops data after `offset`: an interrupted earlier part.

        Raises OutOfCapacity, with the file as long as before, if the disk is full.
        """
        view, at = memoryview(data), offset
        try:
            os.ftruncate(self.descriptor, offset)
            while view:
                written = os.pwrite(self.descriptor, view, at)
                view, at = view[written:], at + written
            os.fdatasync(self.descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self.descriptor, offset)
            if error.errno in DISK_FULL_ERRNOS:
                raise OutOfCapacity(
                    f"The region's disk for {self.contents} is full. The upload can continue once there is space."
                ) from error
            raise

    def size_bytes(self) -> int:
        return os.fstat(self.descriptor).st_size

    def exists(self) -> bool:
        """Returns whether the file still has its name: not after it was deleted or moved."""
        return self.path.exists()

    def close(self) -> None:
        os.close(self.descriptor)


@frozen(kw_only=True)
class FileFolder:
    """A folder that has only files whose names the region chose. `open` makes it.

    `contents` says in messages what it is for, `spare` what can be deleted to gain space. `free_bytes` returns the free
    space of its disk.
    """

    root: Path
    contents: str
    spare: str
    free_bytes: Callable[[], int]

    @classmethod
    def open(cls, root: Path, *, contents: str, spare: str, free_bytes: Callable[[], int]) -> FileFolder:
        """Returns the folder, created if it is missing. Idempotent. Raises OSError."""
        make_private_folder(root)
        return cls(root=root, contents=contents, spare=spare, free_bytes=free_bytes)

    def path(self, file: str) -> Path:
        return self.root / file

    def files(self) -> frozenset[str]:
        return frozenset(one.name for one in self.root.iterdir())

    def has(self, file: str, size_bytes: int) -> bool:
        path = self.path(file)
        return path.is_file() and path.stat().st_size == size_bytes

    def remove(self, file: str) -> None:
        """Idempotent. A part that is being written is lost, too."""
        self.path(file).unlink(missing_ok=True)

    def lock(self, file: str) -> UploadFile:
        """Opens the upload, created if it is missing, for this caller alone. Raises Busy."""
        path = self.path(file)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_same_file(path, descriptor):
                    return UploadFile(path, descriptor, self.contents)
            except BlockingIOError:
                os.close(descriptor)
                raise Busy("Another request writes to this upload, or its content is being checked.") from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # deleted or moved between the two calls: another file may have the name now

    def require_free(self, needed_bytes: int, *, reserve_bytes: int) -> None:
        """Raises OutOfCapacity, in numbers, if the disk would have less than the reserve afterwards."""
        free = self.free_bytes()
        if free - needed_bytes < reserve_bytes:
            raise OutOfCapacity(
                f"The region's disk for {self.contents} has {file_size(free)} free; {file_size(needed_bytes)} more are "
                f"needed, and {file_size(reserve_bytes)} stay free (the region's setting image_reserve_gib). Delete "
                f"{self.spare} that are not needed any more."
            )


@asynccontextmanager
async def locked(threads: Threads, lock: Callable[[], UploadFile]) -> AsyncIterator[UploadFile]:
    """Yields the file of an upload, which `lock` has locked for this block. Raises Busy."""
    held: list[UploadFile] = []
    try:
        await threads.run(lambda: held.append(lock()))
        yield held[0]
    finally:
        for file in held:
            file.close()


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False

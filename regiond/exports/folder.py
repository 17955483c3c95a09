"""The folder with the files of VMs. Everything here blocks, but what returns a path: call it in threads."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from attrs import frozen

from common.errors import Busy, OutOfCapacity
from common.process.private_files import DISK_FULL_ERRNOS, make_private_folder
from common.units import file_size


@frozen
class ExportFolder:
    """`store_id` names the folder in the database: regions that share the folder have the same id.

    `free_bytes` returns the free space of its disk.
    """

    root: Path
    store_id: UUID
    free_bytes: Callable[[], int]

    @classmethod
    def open(cls, root: Path, store_id: UUID, free_bytes: Callable[[], int]) -> ExportFolder:
        """Creates a missing folder. Idempotent."""
        make_private_folder(root)
        return cls(root, store_id, free_bytes)

    def path(self, file: str) -> Path:
        """`file` is a name that the region chose."""
        return self.root / file

    def files(self) -> frozenset[str]:
        return frozenset(one.name for one in self.root.iterdir())

    def has(self, file: str, size_bytes: int) -> bool:
        path = self.path(file)
        return path.is_file() and path.stat().st_size == size_bytes

    def remove(self, file: str) -> None:
        """Idempotent."""
        self.path(file).unlink(missing_ok=True)

    def append(self, file: str, offset: int, data: bytes) -> bool:
        """Returns when the data is on the disk; False, with nothing written, if the file has less than `offset`.

        Drops data after `offset`: an interrupted earlier part. Raises Busy, OutOfCapacity.
        """
        with self._locked(file) as descriptor:
            if os.fstat(descriptor).st_size < offset:
                return False
            try:
                os.ftruncate(descriptor, offset)
                view, at = memoryview(data), offset
                while view:
                    count = os.pwrite(descriptor, view, at)
                    view, at = view[count:], at + count
                os.fdatasync(descriptor)
            except OSError as error:
                with suppress(OSError):
                    os.ftruncate(descriptor, offset)
                if error.errno in DISK_FULL_ERRNOS:
                    raise disk_full() from error
                raise
            return True

    @contextmanager
    def _locked(self, file: str) -> Iterator[int]:
        descriptor = os.open(self.path(file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield descriptor
        except BlockingIOError:
            raise Busy("Another request writes to this upload.") from None
        finally:
            os.close(descriptor)


def disk_full() -> OutOfCapacity:
    return OutOfCapacity("The region's disk for exports is full. Delete exports or images that are not needed.")


def require_free(folder: ExportFolder, needed_bytes: int, *, reserve_bytes: int) -> None:
    """Raises OutOfCapacity, in numbers, if the disk would have less than the reserve afterwards."""
    free = folder.free_bytes()
    if free - needed_bytes < reserve_bytes:
        raise OutOfCapacity(
            f"The region's disk for exports has {file_size(free)} free; {file_size(needed_bytes)} more are needed, and "
            f"{file_size(reserve_bytes)} stay free (the region's setting image_reserve_gib). Delete exports or images "
            "that are not needed any more."
        )

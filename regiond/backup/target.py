"""The file that a backup is written to: it gets its name only when it is complete."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from attrs import frozen

from regiond.backup.model import BackupFailed


@frozen
class Target:
    """A new file, mode 0600, beside `path`. `commit` gives it that name; `discard` removes it."""

    path: Path
    temporary: Path
    file: BinaryIO

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises BackupFailed if the folder cannot be written."""
        if path.is_dir():
            raise BackupFailed(f"{path} is a folder; name the file of the backup.")
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise BackupFailed(f"Cannot write to the folder {path.parent}: {error.strerror}.") from error
        return cls(path, Path(temporary), os.fdopen(handle, "w+b"))

    def commit(self) -> int:
        """Returns the size in bytes. An earlier file of that name is replaced at once."""
        size_bytes = os.fstat(self.file.fileno()).st_size
        os.fsync(self.file.fileno())
        self.file.close()
        self.temporary.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return size_bytes

    def discard(self) -> None:
        """Idempotent."""
        self.file.close()
        with suppress(FileNotFoundError):
            self.temporary.unlink()

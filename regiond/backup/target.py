"""The file that a backup is written to: it gets its name only when it is complete."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from attrs import frozen

from regiond.backup.model import BackupFailed

_UNFINISHED = ".unfinished"


@frozen
class Target:
    """A new file, mode 0600, beside `path`. `commit` gives it that name; `discard` removes it.

    It is locked while a process writes it, so that the next backup to that name removes it after a kill.
    """

    path: Path
    temporary: Path
    file: BinaryIO

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises BackupFailed if the folder cannot be written. Removes files of earlier backups that were killed."""
        if path.is_dir():
            raise BackupFailed(f"{path} is a folder; name the file of the backup.")
        _remove_abandoned(path)
        try:
            while True:
                handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent)
                fcntl.flock(handle, fcntl.LOCK_EX)
                if os.fstat(handle).st_nlink:
                    return cls(path, Path(temporary), os.fdopen(handle, "w+b"))
                os.close(handle)  # another backup found it before it was locked
        except OSError as error:
            raise BackupFailed(f"Cannot write to the folder {path.parent}: {error.strerror}.") from error

    def commit(self) -> int:
        """Returns the size in bytes. An earlier file of that name is replaced at once. Raises BackupFailed."""
        try:
            size_bytes = os.fstat(self.file.fileno()).st_size
            os.fsync(self.file.fileno())
            self.temporary.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise BackupFailed(f"The backup could not be stored as {self.path}: {error.strerror}.") from error
        self.file.close()
        return size_bytes

    def discard(self) -> None:
        """Idempotent."""
        with suppress(FileNotFoundError):
            self.temporary.unlink()
        self.file.close()


def _remove_abandoned(path: Path) -> None:
    """Removes unfinished backups of that name whose process has ended."""
    for one in path.parent.glob(f".{_literal(path.name)}.????????{_UNFINISHED}"):
        with suppress(OSError), one.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            one.unlink()


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)

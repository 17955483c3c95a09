"""Writes files and folders that only this user may read."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from common.errors import BadSettings

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
PROBE_BYTES = 32 * 1024  # more than all that is stored there: keys, certificates, an identity


def make_private_folder(folder: Path) -> None:
    """Creates the folder with mode 0700 unless it exists. Idempotent."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_usable_folder(folder: Path) -> None:
    """Creates the folder unless it exists and checks that it is writable.

    Raises BadSettings if it is not, and OSError with an errno of DISK_FULL_ERRNOS if the disk is full.
    """
    try:
        make_private_folder(folder)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise OSError(error.errno, os.strerror(error.errno), str(folder)) from error
        raise BadSettings(f"Cannot use the folder {folder}: {error.strerror}.", path=str(folder)) from error


def replace_keeping_mode(path: Path, text: str) -> None:
    """Replaces the file atomically, with the mode and the owner that it has; a new one has mode 0640.

    Returns when it is on the disk.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if path.exists():
                found = path.stat()
                os.fchown(handle, found.st_uid, found.st_gid)
                os.fchmod(handle, stat.S_IMODE(found.st_mode))
            else:
                os.fchmod(handle, 0o640)
            os.fsync(handle)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    _sync_folder(path.parent)


def write_private(path: Path, text: str) -> None:
    """Replaces the file atomically, with mode 0600. Returns when it is on the disk."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # has mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        if isinstance(error, OSError) and error.filename is None:  # a failed write does not name the file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

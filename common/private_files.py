"""Files that only their owner may read, written so that a crash leaves the old content or the new, never half."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from common.errors import BadSettings

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
ROOM_BYTES = 32 * 1024  # more than what is kept there: keys, certificates, an identity


def make_private_folder(folder: Path) -> None:
    """The folder exists, mode 0700 if it was made now. Harmless to repeat."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_usable_folder(folder: Path) -> None:
    """As `make_private_folder`, and tried out. Raises BadSettings, in words, when nothing can be written there, and
    OSError (one of `NO_ROOM`) when the disk is full: that passes."""
    try:
        make_private_folder(folder)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in NO_ROOM:
            raise OSError(error.errno, os.strerror(error.errno), str(folder)) from error
        raise BadSettings(f"The folder {folder} cannot be used: {error.strerror}.", path=str(folder)) from error


def write_private(path: Path, text: str) -> None:
    """Replace the file's content at once, mode 0600, and return when it is on the disk."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        if isinstance(error, OSError) and error.filename is None:  # writing does not say where
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

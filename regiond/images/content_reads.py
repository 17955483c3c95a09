"""Reads stored images for racks."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from regiond.images.content import ContentFolder
from regiond.images.file_threads import FileThreads

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ContentReads:
    def __init__(self, folder: ContentFolder, threads: FileThreads) -> None:
        self._folder = folder
        self._threads = threads

    async def read(self, sha256: str, offset: int, size: int) -> bytes | None:
        """Returns up to `size` bytes from `offset`; None if this region does not have the content."""
        if not _SHA256.fullmatch(sha256):  # a rack chose it, and it becomes a path
            return None
        return await self._threads.run(partial(_read, self._folder.content_path(sha256), offset, size))


def _read(path: Path, offset: int, size: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except FileNotFoundError:
        return None

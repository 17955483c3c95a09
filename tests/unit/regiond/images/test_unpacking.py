"""The program that unpacks images, when its region was killed and starts again."""

from __future__ import annotations

import gzip
from pathlib import Path

from regiond.images.file_threads import FileThreads
from regiond.images.inspection.unpacking import Unpacking
from regiond.images.packing import Packing
from regiond.images.space import SpaceLimit
from tests.support.disk_images import MIB, raw_disk


async def test_an_older_run_cannot_change_the_result(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(gzip.compress(raw_disk()))
    target.write_bytes(b"of an older run")
    limit, threads = SpaceLimit(size_bytes=64 * MIB, reason="64 MiB"), FileThreads()
    with target.open("r+b") as older:
        unpacked = await Unpacking(threads).unpack(source, target, limit)
        older.write(b"what the older run still writes")
        older.truncate(3)
    await threads.stop()
    assert (unpacked.packing, target.read_bytes()) == (Packing.GZIP, raw_disk())

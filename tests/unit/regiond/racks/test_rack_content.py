"""Files that several imports offer to racks with the same content, when one of them ends first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO

import pytest
from attrs import define, field

from common.errors import NotFound
from common.rpc.commands.region_commands import ContentPart, ContentRead
from regiond.racks.rack_content import RackContent
from tests.support.waiting import turns

SHA256 = "a" * 64


class NothingStored:
    async def read(self, sha256: str, offset: int, size: int) -> bytes | None:
        return None


@define
class SlowFile:
    """A file that reads nothing before `proceed` is set."""

    file: BinaryIO
    proceed: asyncio.Event = field(factory=asyncio.Event)
    began: asyncio.Event = field(factory=asyncio.Event)

    async def read(self, offset: int, size: int) -> bytes:
        self.began.set()
        await self.proceed.wait()
        self.file.seek(offset)
        return self.file.read(size)


@define
class Import:
    """An import that offers its file until `end` is set, then closes it."""

    slow: SlowFile
    end: asyncio.Event = field(factory=asyncio.Event)

    async def run(self, content: RackContent) -> None:
        with self.slow.file:
            async with content.offer_file(SHA256, self.slow.read):
                await self.end.wait()


def import_of(folder: Path, name: str) -> Import:
    (folder / name).write_bytes(name.encode())
    return Import(SlowFile((folder / name).open("rb")))


def part(content: RackContent) -> asyncio.Task[ContentPart]:
    return asyncio.create_task(content.read(ContentRead(sha256=SHA256, offset=0, size=10)))


@pytest.mark.parametrize("cancellations", [0, 1, 2])
async def test_an_import_that_ends_waits_for_the_reads_of_its_file(tmp_path: Path, cancellations: int) -> None:
    content, first, second = RackContent(NothingStored()), import_of(tmp_path, "first"), import_of(tmp_path, "second")
    first_runs, second_runs = (asyncio.create_task(one.run(content)) for one in (first, second))
    await turns()
    begun = part(content)
    await first.slow.began.wait()
    for _ in range(cancellations):
        first_runs.cancel()
        await turns()
    first.end.set()
    await turns()
    assert not first_runs.done()
    later = part(content)
    await second.slow.began.wait()  # the other file serves from now on
    for one in (second, first):
        one.slow.proceed.set()
    assert [(await one).data for one in (begun, later)] == [b"first", b"second"]
    second.end.set()
    ended = await asyncio.gather(first_runs, second_runs, return_exceptions=True)
    assert [type(one) for one in ended] == [asyncio.CancelledError if cancellations else type(None), type(None)]
    with pytest.raises(NotFound):
        await part(content)


async def test_a_read_that_is_cancelled_holds_no_file(tmp_path: Path) -> None:
    content, one = RackContent(NothingStored()), import_of(tmp_path, "first")
    runs = asyncio.create_task(one.run(content))
    await turns()
    begun = part(content)
    await one.slow.began.wait()
    begun.cancel()
    one.end.set()
    await runs
    assert one.slow.file.closed

"""Long lists: encoded in chunks as the client takes them, in order, with other tasks in between."""

from __future__ import annotations

import asyncio
import json
import weakref
import zlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from common.errors import DatabaseUnavailable
from regiond.api.compression import MIN_BYTES, SLICE_BYTES, accepts_gzip, compressed
from regiond.api.declaration.lists import CHUNK_BYTES, MAX_OBJECTS, list_reply
from regiond.api.replies import Reply
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.machines.values.model import MachineView
from regiond.requests.long_list import LongList
from tests.unit.support.api_double import result_of
from tests.unit.support.long_source import Source
from tests.unit.support.machine_samples import MACHINE

MACHINES = 3000


def chunks_of(reply: Reply) -> AsyncGenerator[bytes, None]:
    assert reply.chunks is not None
    return reply.chunks


async def whole(reply: Reply) -> bytes:
    return b"".join([chunk async for chunk in chunks_of(reply)])


@pytest.mark.slow
async def test_all_machines_come_in_order_as_one_array_without_blanks() -> None:
    source = Source()
    text = await whole(await list_reply(source.machines(MACHINES), MACHINE_JSON.encode))
    assert [one["hostname"] for one in json.loads(text)] == [f"vm-{key}" for key in range(MACHINES)]
    assert text == json.dumps(json.loads(text), separators=(",", ":")).encode()
    assert source.read_keys == list(range(MACHINES))


async def test_no_more_is_read_than_the_client_has_taken() -> None:
    source = Source()
    chunks = chunks_of(await list_reply(source.machines(MACHINES), MACHINE_JSON.encode))
    taken = 0
    while taken < MACHINES // 2:
        taken += (await anext(chunks)).count(b'"fqdn"')
    assert len(source.read_keys) <= taken + 3 * MAX_OBJECTS
    await chunks.aclose()


async def test_only_a_chunk_is_encoded_before_other_tasks_run() -> None:
    encoded = 0
    most = 0

    def encode(machine: MachineView) -> Any:
        nonlocal encoded
        encoded += 1
        return MACHINE_JSON.encode(machine)

    async def other() -> None:
        nonlocal encoded, most
        while True:
            most, encoded = max(most, encoded), 0
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await whole(await list_reply(Source().machines(MACHINES), encode))
    await asyncio.sleep(0)
    await whole(await list_reply(LongList.of([MACHINE] * 1000), encode))  # in memory: reading does not wait
    task.cancel()
    size = len(json.dumps(MACHINE_JSON.encode(MACHINE), separators=(",", ":")))
    assert 0 < most <= CHUNK_BYTES // size + 1


async def test_the_memory_does_not_grow_with_the_list() -> None:
    """Machines and chunks that live at once are counted: traced memory has what other tests have left running, too."""
    living = most = 0

    def gone(_: object) -> None:
        nonlocal living
        living -= 1

    def encode(machine: MachineView) -> Any:
        nonlocal living, most
        living += 1
        most = max(most, living)
        references.append(weakref.ref(machine, gone))
        return MACHINE_JSON.encode(machine)

    references: list[weakref.ref[MachineView]] = []
    reply = await list_reply(Source().machines(MACHINES), encode)
    longest = 0
    async for chunk in chunks_of(reply):
        longest = max(longest, len(chunk))
    assert len(references) == MACHINES
    assert most <= 3 * MAX_OBJECTS
    assert longest <= 2 * CHUNK_BYTES


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.integers(), st.text(max_size=5), st.integers(9_000, 20_000).map("é".__mul__)), max_size=40)
)
def test_a_list_of_any_length_is_the_same_json(objects: list[Any]) -> Any:
    async def check() -> None:
        reply = await list_reply(LongList.of(objects), lambda one: one)
        text = reply.body if reply.chunks is None else await whole(reply)
        assert text == json.dumps(objects, separators=(",", ":")).encode()

    return Deferred.fromFuture(asyncio.ensure_future(check()))  # pytest-twisted waits for each


def test_a_short_list_is_a_plain_body() -> None:
    assert result_of(list_reply(LongList.of([]), MACHINE_JSON.encode)).body == b"[]"
    reply = result_of(list_reply(LongList.of([{"a": None}, 1]), lambda one: one))
    assert (reply.chunks, reply.body) == (None, b'[{"a":null},1]')


async def test_an_error_at_the_start_is_raised_and_one_later_ends_the_chunks() -> None:
    with pytest.raises(DatabaseUnavailable):
        await list_reply(Source(fails_at=0).machines(MACHINES), MACHINE_JSON.encode)
    reply = await list_reply(Source(fails_at=MACHINES // 2).machines(MACHINES), MACHINE_JSON.encode)
    with pytest.raises(DatabaseUnavailable):
        await whole(reply)


async def test_a_list_of_batches_leaves_out_what_was_deleted() -> None:
    found = Source().machines(250).transformed(lambda machines: [one for one in machines if one.id % 100 >= 50])
    reply = await list_reply(found, MACHINE_JSON.encode)
    assert len(json.loads(await whole(reply))) == 100


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True), ("deflate, GZIP;q=0.5", True), ("x-gzip", True), ("*", True), ("gzip;q=0.001", True),
        ("", False), ("identity", False), ("gzip;q=0", False), ("gzip ; q=0.000", False), ("gzipped", False),
    ],
)  # fmt: skip
def test_gzip_is_used_only_if_the_client_accepts_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


async def test_compressed_bodies_and_chunks_are_gzip_of_the_same_text() -> None:
    text = b"[" + b"0," * MIN_BYTES + b"0]"
    packed = compressed(Reply(status=200, body=text))
    assert (zlib.decompress(packed.body, 31), packed.headers["Content-Encoding"]) == (text, "gzip")
    plain = await whole(await list_reply(Source().machines(300), MACHINE_JSON.encode))
    packed = compressed(await list_reply(Source().machines(300), MACHINE_JSON.encode))
    small = await whole(packed)
    assert (zlib.decompress(small, 31), len(small) < len(plain) // 10) == (plain, True)


async def test_other_tasks_run_while_a_long_body_is_compressed() -> None:
    body = bytes(range(256)) * (4 * SLICE_BYTES // 256)
    ran = 0

    async def run() -> None:
        nonlocal ran
        while True:
            ran += 1
            await asyncio.sleep(0)

    running = asyncio.ensure_future(run())
    packed = compressed(Reply(status=200, body=body))
    assert packed.body == b""
    assert zlib.decompress(await whole(packed), 31) == body
    running.cancel()
    assert ran >= 4


def test_short_bodies_are_not_compressed() -> None:
    reply = Reply(status=200, body=b"x" * (MIN_BYTES - 1))
    assert compressed(reply) is reply

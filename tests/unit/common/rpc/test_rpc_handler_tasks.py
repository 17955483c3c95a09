"""Handlers of a link: what they keep in memory, and when their streams wait."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from typing import Any

from attrs import evolve, frozen

from common.rpc.commands.command import Command
from common.rpc.frames import Call, Hello, encode
from common.rpc.handler_tasks import HandlerTasks
from common.rpc.peers import Peer
from common.rpc.session import Limits, Session
from common.rpc.session_events import HandlerRequested
from common.trust.certificates import Role


@frozen
class _Text:
    text: str


class _Body(dict[str, Any]):
    """Plain data that can be referred to weakly."""


async def test_a_running_handler_holds_no_plain_data_of_its_request() -> None:
    command = Command("test.wait", _Text, _Text)
    arrived: asyncio.Future[_Text] = asyncio.get_running_loop().create_future()
    release = asyncio.Event()

    async def handler(_: Any, argument: _Text) -> _Text:
        arrived.set_result(argument)
        await release.wait()
        return argument

    hello = Hello(lowest_version=1, highest_version=1, role="region", name="here")
    session = Session(hello=hello, methods={command.name: False}, limits=Limits(), now=0.0)
    tasks = HandlerTasks({command: handler}, session, lambda: None)
    body = _Body(text="large")
    alive = weakref.ref(body)
    request = HandlerRequested(call_id=1, method=command.name, body=body, left_s=10, streams=False)
    tasks.start(request, None, Peer(role=Role.CLIENT, name="c"))
    del body, request
    assert await arrived == _Text("large")
    gc.collect()
    assert alive() is None
    release.set()
    await tasks.ended()


async def test_a_stream_waits_while_the_send_buffer_is_full() -> None:
    command = Command("test.list", _Text, _Text, streams=True)
    sent = 0

    async def handler(_: Any, argument: _Text) -> AsyncGenerator[_Text, None]:
        for _number in range(3):
            yield argument

    def flush() -> None:
        nonlocal sent
        frames, _ = session.drain()
        sent += len(frames)

    hello = Hello(lowest_version=1, highest_version=1, role="region", name="here")
    session = Session(hello=hello, methods={command.name: True}, limits=Limits(), now=0.0)
    session.receive(encode(evolve(hello, name="there")), 0.0)
    call = Call(id=1, method=command.name, left_ms=1000, credit=9, body={"text": "a"})
    session.receive(encode(call), 0.0)
    flush()
    sent = 0
    tasks = HandlerTasks({command: handler}, session, flush)
    tasks.pause(full=True)
    request = HandlerRequested(call_id=1, method=command.name, body=call.body, left_s=1, streams=True)
    tasks.start(request, None, Peer(role=Role.CLIENT, name="c"))
    for _ in range(9):
        await asyncio.sleep(0)
    assert sent == 0
    tasks.pause(full=False)
    await tasks.ended()
    assert sent == 4  # three items and the end

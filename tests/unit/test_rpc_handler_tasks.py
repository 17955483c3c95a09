"""While a handler runs, only its argument is in memory, not the request's plain data."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

from attrs import frozen

from common.rpc.command import Command
from common.rpc.frames import Hello
from common.rpc.handler_tasks import HandlerTasks
from common.rpc.peers import Peer, Role
from common.rpc.session import Limits, Session
from common.rpc.session_events import HandlerRequested


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

"""Commands that follow a stream, such as `events stream`: print each event until Ctrl-C, and connect again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from attrs import define, field, frozen

from common.errors import InnkeeperError
from innkeeper.arguments import ApiCall, Options, Usage
from innkeeper.http import Api
from innkeeper.output.terminal import Terminal
from innkeeper.output.text import printable

SILENCE_S = 60.0  # the region sends a comment every 15 s
RETRY_S = 2.0
MAX_BLOCK_CHARACTERS = 4 * 1024 * 1024


@frozen(kw_only=True)
class ServerEvent:
    """`id` is None if the block does not set it; an event without `data` only does that."""

    kind: str
    id: str | None
    data: str


@define
class EventParser:
    """Splits the text of a stream into events."""

    _rest: bytes = field(default=b"", init=False)

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """Yields what is complete. Raises InnkeeperError if an event does not end."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        if len(self._rest) > MAX_BLOCK_CHARACTERS:
            raise InnkeeperError("The server sends no end of an event. Is this the address of a region?")
        for block in blocks:
            yield _parsed(block.decode("utf-8", "replace"))


def _parsed(block: str) -> ServerEvent:
    lines = [line.partition(":") for line in block.split("\n")]
    pairs = [(name, value.removeprefix(" ")) for name, _, value in lines if name]  # a comment has no name
    last = dict(pairs)
    data = "\n".join(value for name, value in pairs if name == "data")
    return ServerEvent(kind=last.get("event", "message"), id=last.get("id"), data=data)


async def follow(api: Api, wanted: ApiCall, options: Options, terminal: Terminal) -> None:
    """Prints one line for each event: JSON, or on a terminal a text. Continues after a lost connection.

    Raises Usage, and an error that connecting again does not change.
    """
    if options.view.watch_s is not None:
        raise Usage(f"{wanted.command} follows the region until Ctrl-C: leave out --watch.")
    fields = [(given.name, given.value) for given in wanted.fields]
    op = [("op", wanted.action.op)] if wanted.action.op else []
    position, is_lost = "", False
    parser = EventParser()

    def show(data: bytes) -> None:
        nonlocal position, is_lost
        for event in parser.feed(data):
            is_lost = False
            position = position if event.id is None else event.id
            _show(event, terminal)
        terminal.out.flush()

    while True:
        headers = {"Last-Event-ID": position} if position else {}
        try:
            await api.stream(wanted.path, show, query=[*op, *fields], headers=headers, silence_s=SILENCE_S)
        except InnkeeperError as error:
            if not position or not _is_transient(error):
                raise
            if not is_lost:
                terminal.note(f"{error.message} Trying again every {RETRY_S:.0f} s.")
            is_lost = True
        if not is_lost and any(name == "duration" for name, _ in fields):
            return
        parser = EventParser()
        await asyncio.sleep(RETRY_S)


def _show(event: ServerEvent, terminal: Terminal) -> None:
    if not event.data:
        return
    if event.kind == "reload":
        terminal.note("Events that followed the last one have been deleted, or its id is unknown: some are missing.")
    elif terminal.wants_table:
        terminal.say(_line(json.loads(event.data)))
    else:
        terminal.say(event.data)


def _line(event: Any) -> str:
    subject = event.get("hostname") or event.get("host_name") or ""
    words = (str(event.get("at")), f"{event.get('level', ''):7}", subject, str(event.get("description", "")))
    return printable("  ".join(word for word in words if word), allowed="")


def _is_transient(error: InnkeeperError) -> bool:
    status = error.details.get("status")
    return status is None or status >= 500 or status == 429

"""Repeats `audit redact` until the region has redacted all requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import evolve

from innkeeper.answer import Answer
from innkeeper.arguments import ApiCall, Given
from innkeeper.output.terminal import Terminal

COMMAND = "audit redact"


def is_redaction(wanted: ApiCall) -> bool:
    """Whether the answer to the call may be a part of the whole."""
    return wanted.command == COMMAND


async def completed(
    first: Answer, wanted: ApiCall, send: Callable[[ApiCall], Awaitable[Answer]], terminal: Terminal
) -> Any:
    """Returns the answer to the call and to those that continue it, with the sum of the requests; a plan unchanged."""
    done = first.json()
    if "requests" not in done:
        return done
    requests = done["requests"]
    while (after := done["after"]) is not None:
        terminal.note(f"{requests} requests redacted so far.")
        others = tuple(one for one in wanted.fields if one.name != "after")
        done = (await send(evolve(wanted, fields=(*others, Given(name="after", value=str(after)))))).json()
        requests += done["requests"]
    return {**done, "requests": requests}

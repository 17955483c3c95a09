"""The events that a session gives its owner to act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from common.errors import InnkeeperError
from common.rpc.frames import Hello


@frozen(kw_only=True)
class Opened:
    """Both ends have sent a hello and a protocol version is chosen. Calls are possible from now on."""

    peer: Hello
    version: int


@frozen(kw_only=True)
class ItemArrived:
    """An item of the outgoing stream `call_id`. The peer sends more only after `Session.consumed`."""

    call_id: int
    body: Any
    size_bytes: int = 0  # of its frame


@frozen(kw_only=True)
class CallDone:
    """An outgoing call succeeded; a stream is complete."""

    call_id: int
    body: Any


@frozen(kw_only=True)
class CallFailed:
    call_id: int
    error: InnkeeperError


@frozen(kw_only=True)
class HandlerRequested:
    """The peer calls. The owner responds with `done` or `fail` exactly once, whatever happens in between."""

    call_id: int
    method: str
    body: Any
    left_s: float
    streams: bool
    context: Mapping[str, Any] = field(factory=dict)  # ids for the log, as the peer sent them


@frozen(kw_only=True)
class HandlerCancelled:
    """The handler must stop: cancelled, past its deadline, or the link ended. `done` or `fail` is still required."""

    call_id: int


@frozen(kw_only=True)
class CreditArrived:
    call_id: int


@frozen(kw_only=True)
class EventArrived:
    name: str
    body: Any


@frozen(kw_only=True)
class Ended:
    """The session has ended; no event follows."""

    error: InnkeeperError


Output = (
    Opened
    | ItemArrived
    | CallDone
    | CallFailed
    | HandlerRequested
    | HandlerCancelled
    | CreditArrived
    | EventArrived
    | Ended
)

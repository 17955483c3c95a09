"""What a session tells its owner to do or to know. Values only; see session.py."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from common.rpc.frames import Hello


@frozen(kw_only=True)
class Opened:
    """Both hellos are there and a version is agreed. Calls can be made from now on."""

    peer: Hello
    version: int


@frozen(kw_only=True)
class ItemArrived:
    """Of our stream `call_id`. Tell the session when it was consumed, or no more will come."""

    call_id: int
    body: Any
    size_bytes: int = 0  # of its frame


@frozen(kw_only=True)
class CallDone:
    """Our call ended well; a stream's items are complete."""

    call_id: int
    body: Any


@frozen(kw_only=True)
class CallFailed:
    call_id: int
    error: InnkeeperError


@frozen(kw_only=True)
class HandlerWanted:
    """The other end asks. Answer with `done` or `fail`, exactly once, whatever happens in between."""

    call_id: int
    method: str
    body: Any
    left_s: float
    streams: bool


@frozen(kw_only=True)
class HandlerUnwanted:
    """Stop working on it: cancelled, out of time, or the link is gone. `done` or `fail` is still due after."""

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
    """The last output. Nothing is sent or answered any more."""

    error: InnkeeperError


Output = (
    Opened
    | ItemArrived
    | CallDone
    | CallFailed
    | HandlerWanted
    | HandlerUnwanted
    | CreditArrived
    | EventArrived
    | Ended
)

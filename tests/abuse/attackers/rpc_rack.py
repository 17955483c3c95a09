"""A rack with a valid certificate that its owner has lost control of."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgpack
from attrs import frozen

from common.rpc.commands.client_commands import CLIENT_COMPOSE, CLIENT_LIST_MACHINES
from common.rpc.commands.host_commands import HOST_DISCOVER, HOST_EVENT, HostEvent
from common.rpc.commands.region_commands import RACK_JOIN, RACK_RENEW
from common.rpc.frames import MAX_FRAME_BYTES, Call, Event, encode
from common.serialization import to_dict
from common.trust.certificates import Role
from common.values import GuestChange, GuestEvent, PowerState
from tests.abuse.attack import Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import stranger
from tests.abuse.rpc_wire import Wire, empty_maps, raw_call, tls, wired

_LONG = MAX_FRAME_BYTES - 1024
CALLS_AT_ONCE = 400  # more than a link may have running


@frozen(kw_only=True)
class RackFlood:
    """Each connection sends one kind of flood; the region may end it."""

    name: str = "rpc-rack"
    what: str = "frames of 1 MiB, empty maps, events, concurrent and forbidden calls from an enrolled rack"
    callers: int = 4
    addresses: int = 2

    async def run(self, target: Target, tally: Tally) -> None:
        context = tls(target.rack)
        floods = (_many_values, _long_frames, _many_calls, _forbidden_calls, _events)

        async def flood(number: int) -> None:
            async with wired(target.rpc_port, context, stranger(number, self.addresses)) as wire:
                wire.hello(Role.RACK, "stolen")
                sent = floods[number % len(floods)](wire)
                await wire.writer.drain()
                await wire.count_answers(tally, number=sent)

        await repeat(self.callers, flood, tally)


def _many_values(wire: Wire) -> int:
    """Returns the number of answers, as the others do."""
    wire.send(raw_call(RACK_RENEW.name, empty_maps(_LONG)))
    return 1


def _long_frames(wire: Wire) -> int:
    body = msgpack.packb({"signing_request_pem": "x" * (_LONG - 100)})
    for number in range(1, 9):
        wire.send(raw_call(RACK_RENEW.name, body, call_id=number))
    return 8


def _many_calls(wire: Wire) -> int:
    body = msgpack.packb({"signing_request_pem": "x"})
    for number in range(1, CALLS_AT_ONCE + 1):
        wire.send(raw_call(RACK_RENEW.name, body, call_id=number))
    return CALLS_AT_ONCE


def _forbidden_calls(wire: Wire) -> int:
    methods = (
        CLIENT_COMPOSE.name, CLIENT_LIST_MACHINES.name, HOST_DISCOVER.name, RACK_JOIN.name, "no.such",
    )  # fmt: skip
    for number, method in enumerate(methods, start=1):
        wire.send(encode(Call(id=number, method=method, left_ms=10_000, credit=8, body={})))
    return len(methods)


def _events(wire: Wire) -> int:
    for frame in _event_frames():
        wire.send(frame)
    wire.send(encode(Call(id=1, method="no.such", left_ms=10_000)))  # answered after them
    return 1


def _event_frames() -> Sequence[bytes]:
    """Power changes of guests that the rack has not been asked about, on hosts 1 to 20."""
    frames = []
    for number in range(2000):
        change = GuestChange(event=GuestEvent.POWER, guest_name=secrets.token_hex(4), power=PowerState.ON)
        body = to_dict(HostEvent(host_id=1 + number % 20, change=change))
        frames.append(encode(Event(name=HOST_EVENT, body=body)))
    return frames

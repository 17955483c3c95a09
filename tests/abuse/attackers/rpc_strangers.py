"""Peers without a certificate on the RPC port: silent ones, and ones that send what they may not."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgpack
from attrs import frozen

from common.rpc.commands.region_commands import RACK_JOIN, RACK_RENEW, JoinCall
from common.rpc.frames import Call, encode
from common.serialization import to_dict
from common.trust.certificates import Role
from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import stranger
from tests.abuse.rpc_wire import empty_maps, raw_call, tls, wired


@frozen(kw_only=True)
class SilentPeers:
    """A third say nothing, a third begin no handshake, and a third send no hello after theirs."""

    name: str = "rpc-silent"
    what: str = "300 connections to the RPC port, with and without a TLS handshake, that send nothing"
    connections: int = 300
    addresses: int = 10

    async def run(self, target: Target, tally: Tally) -> None:
        context = tls(None)

        async def hold(number: int) -> None:
            use_tls = context if number % 3 == 0 else None
            async with wired(target.rpc_port, use_tls, stranger(number, self.addresses)) as wire:
                tally.count("opened")
                if number % 3 == 1:
                    wire.writer.write(b"\x16\x03\x01\x02\x00")  # the start of a handshake
                while await wire.reader.read(65536):
                    pass
                tally.count("closed")

        await repeat(self.connections, hold, tally)


@frozen(kw_only=True)
class StrangeFrames:
    name: str = "rpc-strangers"
    what: str = "wrong join tokens, calls of racks, large frames, empty maps and garbage without a certificate"
    callers: int = 4
    addresses: int = 4

    async def run(self, target: Target, tally: Tally) -> None:
        context = tls(None)
        frames = _frames()

        async def send(number: int) -> None:
            async with wired(target.rpc_port, context, stranger(number, self.addresses)) as wire:
                if number % 2:
                    wire.hello(Role.ANONYMOUS, "stranger")
                else:
                    wire.hello(Role.RACK, "rack")
                wire.send(frames[number % len(frames)])
                await wire.count_answers(tally, number=1)

        await repeat(self.callers, send, tally)


def _frames() -> Sequence[bytes]:
    join = JoinCall(token_secret=secrets.token_hex(16), name="stranger", signing_request_pem="x" * 8000)
    wrong_join = Call(id=1, method=RACK_JOIN.name, left_ms=10_000, body=to_dict(join))
    renew = Call(id=1, method=RACK_RENEW.name, left_ms=10_000, body={"signing_request_pem": "x"})
    return (
        encode(wrong_join),
        encode(renew),
        raw_call(RACK_JOIN.name, empty_maps(15_000)),
        raw_call(RACK_JOIN.name, b"\x91" * 15_000 + b"\x80"),
        raw_call(RACK_JOIN.name, msgpack.packb("x" * 1_000_000)),
        secrets.token_bytes(16_000),
        b"",
    )


ATTACKS: tuple[Attack, ...] = (SilentPeers(), StrangeFrames())

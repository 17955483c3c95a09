"""Captures the TCP traffic on the loopback interface."""

from __future__ import annotations

import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from secrets import token_hex

from attrs import field, frozen

_ALL_PROTOCOLS = 0x0003
_IPV4, _IPV6, _TCP = 4, 6, 6
_IPV6_HEADER = 40
_SO_RCVBUFFORCE, _SOL_PACKET, _PACKET_STATISTICS = 33, 263, 6
_BUFFER_BYTES = 512 * 1024 * 1024  # parallel tests send images over loopback too
_LONGEST = 128 * 1024  # loopback segments are larger than those of a network
_GIVE_UP_S = 20.0


@frozen
class Flow:
    """One direction between two ports; successive connections on the same ports are joined."""

    source: int
    target: int


@frozen(kw_only=True)
class Capture:
    """`payloads` is complete when the block of `capturing` has ended."""

    payloads: Mapping[Flow, bytearray] = field(factory=lambda: defaultdict(bytearray))

    def from_port(self, port: int) -> bytes:
        return b"".join(bytes(payload) for flow, payload in self.payloads.items() if flow.source == port)

    def to_port(self, port: int) -> bytes:
        return b"".join(bytes(payload) for flow, payload in self.payloads.items() if flow.target == port)

    def without_port(self, port: int) -> bytes:
        flows = self.payloads.items()
        return b"\n".join(bytes(payload) for flow, payload in flows if port not in (flow.source, flow.target))


@contextmanager
def capturing() -> Iterator[Capture]:
    """Requires root. Fails if the kernel dropped a packet or the last data sent was not captured."""
    capture = Capture()
    ending = token_hex(16).encode()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS)) as tap:
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        tap.bind(("lo", _ALL_PROTOCOLS))
        tap.settimeout(_GIVE_UP_S)
        thread = threading.Thread(target=_listen, args=(tap, capture, ending), daemon=True)
        thread.start()
        try:
            yield capture
        finally:
            _say(ending)
            thread.join(_GIVE_UP_S)
        assert not thread.is_alive(), "the capture lacks the last data sent"
        _, dropped = struct.unpack("II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        assert dropped == 0, f"{dropped} packets were dropped"


def _listen(tap: socket.socket, capture: Capture, ending: bytes) -> None:
    while True:
        packet, (_, _, kind, _, _) = tap.recvfrom(_LONGEST)
        if kind == socket.PACKET_OUTGOING:
            continue  # each packet is captured twice: sent and received
        found = _segment(packet)
        if found is None:
            continue
        flow, payload = found
        capture.payloads[flow].extend(payload)
        if payload == ending:
            return


def _segment(packet: bytes) -> tuple[Flow, bytes] | None:
    version = packet[0] >> 4
    if version == _IPV4 and packet[9] == _TCP:
        start, end = (packet[0] & 0x0F) * 4, int.from_bytes(packet[2:4]) or len(packet)
    elif version == _IPV6 and packet[6] == _TCP:
        start, end = _IPV6_HEADER, _IPV6_HEADER + int.from_bytes(packet[4:6])
    else:
        return None
    source, target = struct.unpack_from("!HH", packet, start)
    return Flow(source, target), packet[start + (packet[start + 12] >> 4) * 4 : end]


def _say(words: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as speaker:
        speaker.sendall(words)

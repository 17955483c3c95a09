"""A wire between two namespaces that can be cut, delayed, or lose packets in one direction or both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from fcntl import ioctl
from ipaddress import IPv4Network
from pathlib import Path
from struct import pack

from attrs import frozen

from tests.faults.network.namespaces import End, Namespace, veth

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_TABLE = "inet fault"


class Fault(StrEnum):
    CUT = "cut"  # each packet is answered with a reset, as by a firewall that rejects
    BLACK_HOLE = "black hole"  # packets vanish in both directions
    DEAF_CLIENT = "half-open, answers lost"  # the client's packets arrive, those of the server do not
    DEAF_SERVER = "half-open, requests lost"
    DELAY = "delay"


@frozen(kw_only=True)
class Wire:
    """`client` connects to `server`. The rules are in the client's namespace."""

    client: End
    server: End
    delay_s: float = 0.15  # of `Fault.DELAY`, in each direction

    @classmethod
    def between(cls, client: Namespace, server: Namespace, network: IPv4Network, **more: float) -> Wire:
        there, here = veth(server, client, network)
        return cls(client=here, server=there, **more)

    @contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """The fault is there until the block ends."""
        with self._delayed() if fault is Fault.DELAY else self._filtered(fault):
            yield

    @contextmanager
    def _filtered(self, fault: Fault) -> Iterator[None]:
        ours = self.client.namespace
        ours.run("nft", "-f", "-", given=_rules(fault, str(self.server.address)))
        try:
            yield
        finally:
            ours.run("nft", "delete", "table", *_TABLE.split())

    @contextmanager
    def _delayed(self) -> Iterator[None]:
        """Routes the wire's packets through a program that holds each: this kernel may have no netem."""
        tunnels = [_tunnel(one, other) for one, other in ((self.client, self.server), (self.server, self.client))]
        command = [
            sys.executable,
            "-P",
            str(Path(__file__).with_name("delay.py")),
            str(self.delay_s),
            *map(str, tunnels),
        ]
        forwarder = subprocess.Popen(command, pass_fds=tunnels)
        for descriptor in tunnels:
            os.close(descriptor)  # the interfaces, and their routes, end with the forwarder
        try:
            yield
        finally:
            forwarder.kill()
            forwarder.wait(10)


def _rules(fault: Fault, server: str) -> str:
    # Without the first rule, the resets that answer incoming packets would be rejected too.
    reject = "tcp flags & rst == rst accept; meta l4proto tcp reject with tcp reset; reject"
    incoming, outgoing = {
        Fault.CUT: (reject, reject),
        Fault.BLACK_HOLE: ("drop", "drop"),
        Fault.DEAF_CLIENT: ("drop", ""),
        Fault.DEAF_SERVER: ("", "drop"),
    }[fault]
    return f"""
        table {_TABLE} {{
            chain incoming {{ type filter hook input priority 0; {_each(incoming, "saddr", server)} }}
            chain outgoing {{ type filter hook output priority 0; {_each(outgoing, "daddr", server)} }}
        }}
    """


def _each(verdicts: str, which: str, server: str) -> str:
    return " ".join(f"ip {which} {server} {verdict.strip()};" for verdict in verdicts.split(";") if verdict.strip())


def _tunnel(end: End, other: End) -> int:
    """Returns the descriptor of a new interface in the end's namespace that has the route to the other end."""
    name = "delayed"
    with end.namespace.entered():
        descriptor = os.open("/dev/net/tun", os.O_RDWR)
        ioctl(descriptor, _TUNSETIFF, pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    end.namespace.run("ip", "link", "set", name, "up")
    end.namespace.run("ip", "route", "add", f"{other.address}/32", "dev", name, "src", str(end.address))
    return descriptor

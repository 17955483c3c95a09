"""Network namespaces that end with this process, and veth pairs between them."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from attrs import define, field, frozen

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@define(kw_only=True)
class Namespace:
    """A network namespace with a loopback interface. `open` makes one; `close` ends it unless a process uses it."""

    name: str
    _holder: subprocess.Popen[bytes] = field(alias="holder")

    @classmethod
    def open(cls, name: str) -> Namespace:
        # It reads a pipe of this process, so that it ends with it, however that ends.
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"\n", "requires root, to make network namespaces"
        return cls(name=name, holder=holder)

    @property
    def path(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/ns/net")

    @property
    def pid(self) -> int:
        """A process in it, by which `ip` names the namespace."""
        return self._holder.pid

    @property
    def entering(self) -> tuple[str, ...]:
        """Put before a command, which then runs in this namespace."""
        return ("nsenter", f"--net={self.path}", "--")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, its new sockets and its new children are in the namespace until the block ends.

        Nothing else of this thread may run meanwhile: no `await` in a block that is not meant for all of it.
        """
        with Path("/proc/thread-self/ns/net").open() as before, self.path.open() as wanted:
            _set_namespace(wanted.fileno())
            try:
                yield
            finally:
                _set_namespace(before.fileno())

    def run(self, *argv: str, given: str = "") -> None:
        """Runs a command in the namespace. Raises AssertionError with its output if it fails."""
        done = subprocess.run(
            [*self.entering, *argv], input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout.strip()}"

    def close(self) -> None:
        self._holder.communicate()


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@frozen(kw_only=True)
class End:
    """One end of a wire."""

    namespace: Namespace
    interface: str
    address: IPv4Address


@contextmanager
def namespaces(*names: str) -> Iterator[tuple[Namespace, ...]]:
    with ExitStack() as stack:
        yield tuple(stack.enter_context(_closing(Namespace.open(name))) for name in names)


@contextmanager
def _closing(namespace: Namespace) -> Iterator[Namespace]:
    try:
        yield namespace
    finally:
        namespace.close()


def veth(first: Namespace, second: Namespace, network: IPv4Network) -> tuple[End, End]:
    """Connects the namespaces; the ends have the first two addresses of the network."""
    ends = tuple(
        End(namespace=one, interface=f"to-{other.name}", address=address)
        for one, other, address in zip((first, second), (second, first), network.hosts(), strict=False)
    )
    here, there = ends
    first.run(
        "ip", "link", "add", here.interface, "type", "veth", "peer", "name", there.interface, "netns", str(second.pid)
    )
    for end in ends:
        end.namespace.run("ip", "address", "add", f"{end.address}/{network.prefixlen}", "dev", end.interface)
        end.namespace.run("ip", "link", "set", end.interface, "up")
    return here, there

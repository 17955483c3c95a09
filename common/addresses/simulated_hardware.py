"""The hardware of a simulated host: storage pools, networks, interfaces and pinned guests.

`str` gives the text of a part in the host's address, and `parse` reads it. `parse` raises ValueError with a message
that continues the text, such as "is not …".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import TypeVar

from attrs import frozen

from common.values import MAX_VID

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")  # never a path, never hidden
MAX_PARTS = 64  # of each kind

_NUMBER = re.compile(r"[1-9][0-9]{0,11}\Z", re.ASCII)
_NETWORK = re.compile(r"(?P<name>[^:]*):(?P<cidr>[0-9A-Fa-f.:]+/[0-9]{1,3})(?::(?P<vid>[0-9]{1,5}))?\Z", re.ASCII)
_INTERFACES = re.compile(r"(?P<interfaces>[0-9]{1,4})x(?P<functions>[0-9]{1,5})\Z", re.ASCII)
_PINNED = re.compile(
    r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?:(?P<memory_mib>[1-9][0-9]{0,8})(?P<huge>:huge)?\Z", re.ASCII
)

Part = TypeVar("Part")


@frozen(kw_only=True)
class SimulatedPool:
    """`NAME:GB`, GB being 10^9 bytes; `:unavailable` if no disk can be made in it."""

    name: str
    size_gb: int
    unavailable: bool = False

    def __str__(self) -> str:
        return f"{self.name}:{self.size_gb}" + (":unavailable" if self.unavailable else "")

    @classmethod
    def parse(cls, text: str) -> SimulatedPool:
        name, _, rest = text.partition(":")
        size, colon, word = rest.partition(":")
        if not NAME.match(name) or not _NUMBER.match(size) or int(size) > 10_000_000:
            raise ValueError("is not NAME:GB such as fast:500, with 1 to 10000000 GB")
        if colon and word != "unavailable":
            raise ValueError("is neither NAME:GB nor NAME:GB:unavailable")
        return cls(name=name, size_gb=int(size), unavailable=bool(colon))


@frozen(kw_only=True)
class SimulatedImage:
    """`ALIAS:GB`: an image that the host itself has, whose disk has GB × 10^9 bytes. With 0, the host does not say."""

    alias: str
    disk_gb: int = 0

    def __str__(self) -> str:
        return f"{self.alias}:{self.disk_gb}"

    @property
    def fingerprint(self) -> str:
        """Always the same for an alias."""
        return hashlib.sha256(self.alias.encode()).hexdigest()

    @classmethod
    def parse(cls, text: str) -> SimulatedImage:
        alias, _, size = text.partition(":")
        if not NAME.match(alias) or not re.fullmatch(r"[0-9]{0,6}", size, re.ASCII):
            raise ValueError("is not ALIAS:GB such as noble:3")
        return cls(alias=alias, disk_gb=int(size or 0))


@frozen(kw_only=True)
class SimulatedNetwork:
    """`NAME:CIDR:VID`; without a VID, or with 0, the network is untagged."""

    name: str
    cidr: str
    vid: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.cidr}:{self.vid}"

    @classmethod
    def parse(cls, text: str) -> SimulatedNetwork:
        found = _NETWORK.match(text)
        if found is None or not NAME.match(found["name"]):
            raise ValueError("is not NAME:CIDR:VID such as dmz:10.1.0.0/24:100")
        vid = int(found["vid"] or 0)
        if vid > MAX_VID:
            raise ValueError(f"has a VID that is not between 0 and {MAX_VID}")
        try:
            return cls(name=found["name"], cidr=str(ip_network(found["cidr"])), vid=vid)
        except ValueError as error:
            raise ValueError(f"is not a network: {error}") from error


@frozen(kw_only=True)
class SimulatedInterfaces:
    """`INTERFACESxFUNCTIONS`: network interfaces, each with that many virtual functions."""

    interfaces: int = 0
    functions: int = 0

    def __str__(self) -> str:
        return f"{self.interfaces}x{self.functions}"

    @classmethod
    def parse(cls, text: str) -> SimulatedInterfaces:
        found = _INTERFACES.match(text)
        if found is None or not 1 <= int(found["interfaces"]) <= MAX_PARTS or not 1 <= int(found["functions"]) <= 256:
            raise ValueError(
                f"is not INTERFACESxFUNCTIONS such as 3x8, with 1 to {MAX_PARTS} interfaces and 1 to 256 functions each"
            )
        return cls(interfaces=int(found["interfaces"]), functions=int(found["functions"]))


@frozen(kw_only=True)
class SimulatedPinnedGuest:
    """`FIRST-LAST:MIB` or `CORE:MIB`: a foreign guest pinned to these cores; `:huge` backs it with huge pages."""

    first_core: int
    last_core: int
    memory_mib: int
    huge_pages: bool = False

    @property
    def core_ids(self) -> tuple[int, ...]:
        return tuple(range(self.first_core, self.last_core + 1))

    def __str__(self) -> str:
        cores = f"{self.first_core}" if self.first_core == self.last_core else f"{self.first_core}-{self.last_core}"
        return f"{cores}:{self.memory_mib}" + (":huge" if self.huge_pages else "")

    @classmethod
    def parse(cls, text: str) -> SimulatedPinnedGuest:
        found = _PINNED.match(text)
        if found is None or int(found["last"] or found["first"]) < int(found["first"]):
            raise ValueError("is not CORES:MIB or CORES:MIB:huge, CORES being one number or FIRST-LAST")
        return cls(
            first_core=int(found["first"]),
            last_core=int(found["last"] or found["first"]),
            memory_mib=int(found["memory_mib"]),
            huge_pages=found["huge"] is not None,
        )


def listed(parse: Callable[[str], Part], text: str) -> tuple[Part, ...]:
    """Parses parts separated by commas. Raises ValueError that names the first invalid one."""
    texts = text.split(",")
    if len(texts) > MAX_PARTS:
        raise ValueError(f"has {len(texts)} parts, more than {MAX_PARTS}")
    parsed = []
    for one in texts:
        try:
            parsed.append(parse(one))
        except ValueError as error:
            raise ValueError(f"has '{one}', which {error}") from error
    return tuple(parsed)


def shares(total: int, parts: int) -> tuple[int, ...]:
    """Splits `total` evenly; the first parts get the remainder, so that the sum is exact."""
    return tuple(total // parts + (1 if index < total % parts else 0) for index in range(parts))

"""Parses the address of a simulated host, whose parameters describe its hardware.

`simulated:NAME?cores=4&memory_mib=12288…`: NAME is the identity, under which guests and disks are stored. Cores, memory
and storage follow the current address, as if the hardware had been changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import Attribute, field, fields, frozen

from common.addresses.simulated_hardware import (
    NAME,
    SimulatedImage,
    SimulatedInterfaces,
    SimulatedNetwork,
    SimulatedPinnedGuest,
    SimulatedPool,
    listed,
    shares,
)
from common.errors import InvalidRequest

SCHEME = "simulated"
FIELD = "power_address"  # the API's name of the field, for error messages
POOL_NAMES = ("default", "fast")  # used when the address gives only a number of pools


def _number(default: float, *, at_least: float, at_most: float) -> float:
    def read(text: str) -> float:
        _check(text, r"[0-9]{1,12}(\.[0-9]{1,12})?", "a number", at_least, at_most)
        return float(text)

    number: float = field(default=default, metadata=_read_by(read))
    return number


def _whole(default: int, *, at_least: int, at_most: int, always_shown: bool = True) -> int:
    def read(text: str) -> int:
        _check(text, r"[0-9]{1,12}", "a whole number", at_least, at_most)
        return int(text)

    whole: int = field(default=default, metadata=_read_by(read, always_shown=always_shown))
    return whole


def _check(text: str, pattern: str, what: str, at_least: float, at_most: float) -> None:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(f"is not {what}")
    if not at_least <= float(text) <= at_most:
        raise ValueError(f"is not between {at_least} and {at_most}")


def _read_by(read: Callable[[str], Any], *, always_shown: bool = True) -> dict[str, Any]:
    """`read` raises ValueError with a message that continues `name='text'`.

    The normalised address always has a parameter with `always_shown`, another one only if it is not the default.
    """
    return {"read": read, "always_shown": always_shown}


def _boot(text: str) -> str:
    if text not in {"reports", "fails"}:
        raise ValueError("is neither 'reports' nor 'fails'")
    return text


def _pools(text: str) -> int | tuple[SimulatedPool, ...]:
    if text.isascii() and text.isdecimal():
        _check(text, r"[0-9]{1,12}", "a whole number", 1, len(POOL_NAMES))
        return int(text)
    return listed(SimulatedPool.parse, text)


def _networks(text: str) -> tuple[SimulatedNetwork, ...]:
    return listed(SimulatedNetwork.parse, text)


def _images(text: str) -> tuple[SimulatedImage, ...]:
    return listed(SimulatedImage.parse, text)


def _pinned_guests(text: str) -> tuple[SimulatedPinnedGuest, ...]:
    return listed(SimulatedPinnedGuest.parse, text)


@frozen(kw_only=True)
class SimulatedAddress:
    """A simulated host. Created by `parse`, which checks the ranges.

    `cores` are hardware threads; `threads_per_core` consecutive ids form one core. Cores, memory, huge pages and
    network interfaces are spread over `numa_nodes`. `hugepages_mib` of the memory is reserved as pages of
    `hugepage_size_mib`. `virtual_functions=3x8`: three network interfaces with 8 virtual functions each.

    `pools=2` adds `fast` to `default`, each of `storage_gb` (10^9 bytes); `pools=NAME:GB,…` sets names and
    sizes, and `NAME:GB:unavailable` is a pool in which no disk can be made. `networks=NAME:CIDR:VID,…` replaces the
    default network 192.168.122.0/24. A new host has `guests` foreign guests and those of
    `pinned_guests=0-3:8192:huge,…` (cores, MiB).

    `images=ALIAS:GB,…` are images that the host itself has, with disks of that size.

    A guest with an operating system boots in `boot_ms` and then reports to the region, as cloud-init does; with
    `boot=fails` it never does. With `max_user_data_kib` it has to fetch longer user data from the region before.

    With `shared=1` it is a further host of the server that another host with this name is, as LXD projects are.

    Each call to the host takes `delay_ms`. A fraction `fault_rate` of the calls fails, chosen by `fault_seed`; with
    `hang_ms` a failing call first hangs that long.
    """

    name: str
    cores: int = _whole(4, at_least=1, at_most=4096)
    memory_mib: int = _whole(12288, at_least=1, at_most=64 * 1024 * 1024)
    storage_gb: int = _whole(100, at_least=1, at_most=10_000_000)
    numa_nodes: int = _whole(1, at_least=1, at_most=64)
    pools: int | tuple[SimulatedPool, ...] = field(default=1, metadata=_read_by(_pools))
    guests: int = _whole(0, at_least=0, at_most=100_000)
    shared: int = _whole(0, at_least=0, at_most=1, always_shown=False)
    delay_ms: int = _whole(0, at_least=0, at_most=600_000)
    fault_rate: float = _number(0.0, at_least=0.0, at_most=1.0)
    fault_seed: int = _whole(0, at_least=0, at_most=2**31)
    hang_ms: int = _whole(0, at_least=0, at_most=3_600_000)
    boot_ms: int = _whole(0, at_least=0, at_most=3_600_000, always_shown=False)
    boot: str = field(default="reports", metadata=_read_by(_boot, always_shown=False))
    max_user_data_kib: int = _whole(0, at_least=0, at_most=1024 * 1024, always_shown=False)
    threads_per_core: int = _whole(1, at_least=1, at_most=8, always_shown=False)
    hugepages_mib: int = _whole(0, at_least=0, at_most=64 * 1024 * 1024, always_shown=False)
    hugepage_size_mib: int = _whole(2, at_least=1, at_most=16384, always_shown=False)
    virtual_functions: SimulatedInterfaces = field(
        default=SimulatedInterfaces(), metadata=_read_by(SimulatedInterfaces.parse, always_shown=False)
    )
    images: tuple[SimulatedImage, ...] = field(default=(), metadata=_read_by(_images, always_shown=False))
    networks: tuple[SimulatedNetwork, ...] = field(default=(), metadata=_read_by(_networks, always_shown=False))
    pinned_guests: tuple[SimulatedPinnedGuest, ...] = field(
        default=(), metadata=_read_by(_pinned_guests, always_shown=False)
    )

    @property
    def identity(self) -> str:
        return f"{SCHEME}/{self.name}"

    @property
    def storage_pools(self) -> tuple[SimulatedPool, ...]:
        if isinstance(self.pools, int):
            return tuple(SimulatedPool(name=name, size_gb=self.storage_gb) for name in POOL_NAMES[: self.pools])
        return self.pools

    @property
    def cores_of_nodes(self) -> tuple[int, ...]:
        """The number of threads per NUMA node. The threads of one core are on one node."""
        return tuple(
            share * self.threads_per_core for share in shares(self.cores // self.threads_per_core, self.numa_nodes)
        )

    @property
    def memory_mib_of_nodes(self) -> tuple[int, ...]:
        return shares(self.memory_mib, self.numa_nodes)

    @property
    def huge_pages_of_nodes(self) -> tuple[int, ...]:
        """The number of huge pages per NUMA node."""
        return shares(self.hugepages_mib // self.hugepage_size_mib, self.numa_nodes)

    @property
    def normalised(self) -> str:
        """The canonical address, with its parameters in a fixed order."""
        parameters = [
            f"{name}={_text(getattr(self, name))}"
            for name, of in sorted(_parameters().items())
            if of.metadata["always_shown"] or getattr(self, name) != of.default
        ]
        return f"{SCHEME}:{self.name}?" + "&".join(parameters)

    @classmethod
    def parse(cls, text: str) -> SimulatedAddress:
        """Raises InvalidRequest with all problems of `text` under `power_address`."""
        scheme, colon, rest = text.strip().partition(":")
        if scheme != SCHEME or not colon:
            raise _invalid(f"expected simulated:NAME?cores=4&…, got '{text}'.")
        name, _, query = rest.partition("?")
        if not NAME.match(name):
            raise _invalid(
                f"'{name}' is not a name: letters, digits, '.', '_' and '-', at most 63, no '.' or '-' at the ends."
            )
        values, wrong = _values(query)
        if wrong:
            raise _invalid(*wrong)
        address = cls(name=name, **values)
        wrong = [*_problems_of_cores(address), *_problems_of_memory(address), *_problems_of_storage(address)]
        wrong += _named_twice("networks", (network.name for network in address.networks))
        wrong += _named_twice("images", (image.alias for image in address.images))
        if wrong:
            raise _invalid(*wrong)
        return address


def _problems_of_cores(address: SimulatedAddress) -> Iterator[str]:
    threads = address.threads_per_core
    if address.cores % threads:
        yield f"cores={address.cores} is not a multiple of threads_per_core={threads}."
    elif address.numa_nodes > address.cores // threads:
        of = f"cores={address.cores}" if threads == 1 else f"cores={address.cores} with threads_per_core={threads}"
        yield f"numa_nodes={address.numa_nodes} is more than {of}: each node needs a core."
    for guest in address.pinned_guests:
        if guest.last_core >= address.cores:
            yield f"pinned_guests='{guest}': cores={address.cores} have ids 0 to {address.cores - 1}."


def _problems_of_memory(address: SimulatedAddress) -> Iterator[str]:
    size_mib, requested_mib = address.hugepage_size_mib, address.hugepages_mib
    if size_mib & (size_mib - 1):
        yield f"hugepage_size_mib={size_mib} is not a power of two."
    elif requested_mib % size_mib:
        yield f"hugepages_mib={requested_mib} is not a multiple of hugepage_size_mib={size_mib}."
    elif any(
        pages * size_mib > memory_mib
        for pages, memory_mib in zip(address.huge_pages_of_nodes, address.memory_mib_of_nodes, strict=True)
    ):
        nodes = f"memory_mib={address.memory_mib} on numa_nodes={address.numa_nodes}"
        yield f"hugepages_mib={requested_mib} do not fit {nodes}."
    for guest in address.pinned_guests:
        if guest.huge_pages and guest.memory_mib > requested_mib:
            yield f"pinned_guests='{guest}': hugepages_mib={requested_mib} are not enough."


def _problems_of_storage(address: SimulatedAddress) -> Iterator[str]:
    first, guests = address.storage_pools[0], address.guests + len(address.pinned_guests)
    size = f"storage_gb={address.storage_gb}" if isinstance(address.pools, int) else f"the pool {first}"
    if guests > first.size_gb:
        yield f"guests={guests} do not fit {size}: each has a disk of 1 GB."
    yield from _named_twice("pools", (pool.name for pool in address.storage_pools))


def _named_twice(parameter: str, names: Iterable[str]) -> list[str]:
    return [f"{parameter}: '{name}' is named twice." for name, times in Counter(names).items() if times > 1]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return f"{value:.12f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _invalid(*messages: str) -> InvalidRequest:
    return InvalidRequest.of({FIELD: list(messages)})


def _parameters() -> Mapping[str, Attribute[Any]]:
    return {one.name: one for one in fields(SimulatedAddress) if one.name != "name"}


def _values(query: str) -> tuple[dict[str, Any], list[str]]:
    """Returns the parsed parameters and the problems."""
    known = _parameters()
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        return {}, [f"'{query}' is not key=value&key=value."]
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for name, text in pairs:
        if name not in known:
            wrong.append(f"unknown parameter '{name}'; known are {', '.join(sorted(known))}.")
        elif name in values:
            wrong.append(f"{name} is given twice.")
        else:
            try:
                values[name] = known[name].metadata["read"](text)
            except ValueError as error:
                wrong.append(f"{name}='{text}' {error}.")
    return values, wrong

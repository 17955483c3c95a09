"""The address of a simulated host: `simulated:NAME?cores=4&memory_mib=12288…`. The parameters are its hardware.

NAME alone is its identity. What it remembers (guests, disks) lives under NAME; cores, memory and storage are what the
address says now, as if somebody had put more into the machine.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import Attribute, field, fields, frozen

from common.errors import InvalidRequest
from common.simulated_parts import (
    NAME,
    SimulatedCards,
    SimulatedNetwork,
    SimulatedPinnedGuest,
    SimulatedPool,
    listed,
    shares,
)

SCHEME = "simulated"
FIELD = "power_address"  # what the API calls it, so that errors name the caller's own field
POOL_NAMES = ("default", "fast")  # of pools that are only counted


def _number(default: float, *, at_least: float, at_most: float) -> float:
    def read(text: str) -> float:
        _check(text, r"[0-9]{1,12}(\.[0-9]{1,12})?", "a number", at_least, at_most)
        return float(text)

    number: float = field(default=default, metadata=_read_by(read))
    return number


def _whole(default: int, *, at_least: int, at_most: int, since_first: bool = True) -> int:
    def read(text: str) -> int:
        _check(text, r"[0-9]{1,12}", "a whole number", at_least, at_most)
        return int(text)

    whole: int = field(default=default, metadata=_read_by(read, since_first=since_first))
    return whole


def _check(text: str, pattern: str, what: str, at_least: float, at_most: float) -> None:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(f"is not {what}")
    if not at_least <= float(text) <= at_most:
        raise ValueError(f"is not between {at_least} and {at_most}")


def _read_by(read: Callable[[str], Any], *, since_first: bool = True) -> dict[str, Any]:
    """`read` raises ValueError, which goes on after `name='text'`.

    A parameter that was there `since_first` is always in the text, a later one only when it is not the default: so the
    texts of hosts that were added before there was that parameter stay what they are.
    """
    return {"read": read, "since_first": since_first}


def _pools(text: str) -> int | tuple[SimulatedPool, ...]:
    if text.isascii() and text.isdecimal():
        _check(text, r"[0-9]{1,12}", "a whole number", 1, len(POOL_NAMES))
        return int(text)
    return listed(SimulatedPool.parse, text)


def _networks(text: str) -> tuple[SimulatedNetwork, ...]:
    return listed(SimulatedNetwork.parse, text)


def _pinned_guests(text: str) -> tuple[SimulatedPinnedGuest, ...]:
    return listed(SimulatedPinnedGuest.parse, text)


@frozen(kw_only=True)
class SimulatedAddress:
    """A simulated host. Made by `parse`, which checks the ranges.

    `cores` are hardware threads, of which `threads_per_core` with ids in sequence are one core. Cores, memory, huge
    pages and cards are spread over `numa_nodes`. `hugepages_mib` is the part of the memory that is reserved as pages of
    `hugepage_size_mib`. `virtual_functions=3x8`: three network cards, each with 8 virtual functions.

    `pools=2` adds `fast` to `default`, each of `storage_gb` (10^9 bytes); `pools=NAME:GB,…` names them with their
    sizes. `networks=NAME:CIDR:VID,…` replaces the one of 192.168.122.0/24. `guests` foreign guests are there when the
    host is first opened, and those of `pinned_guests=0-3:8192:huge,…` on these cores with so many MiB.

    Each call to the host takes `delay_ms`. A share `fault_rate` of the calls fails, chosen by `fault_seed`; with
    `hang_ms` a failing call first hangs that long.
    """

    name: str
    cores: int = _whole(4, at_least=1, at_most=4096)
    memory_mib: int = _whole(12288, at_least=1, at_most=64 * 1024 * 1024)
    storage_gb: int = _whole(100, at_least=1, at_most=10_000_000)
    numa_nodes: int = _whole(1, at_least=1, at_most=64)
    pools: int | tuple[SimulatedPool, ...] = field(default=1, metadata=_read_by(_pools))
    guests: int = _whole(0, at_least=0, at_most=100_000)
    delay_ms: int = _whole(0, at_least=0, at_most=600_000)
    fault_rate: float = _number(0.0, at_least=0.0, at_most=1.0)
    fault_seed: int = _whole(0, at_least=0, at_most=2**31)
    hang_ms: int = _whole(0, at_least=0, at_most=3_600_000)
    threads_per_core: int = _whole(1, at_least=1, at_most=8, since_first=False)
    hugepages_mib: int = _whole(0, at_least=0, at_most=64 * 1024 * 1024, since_first=False)
    hugepage_size_mib: int = _whole(2, at_least=1, at_most=16384, since_first=False)
    virtual_functions: SimulatedCards = field(
        default=SimulatedCards(), metadata=_read_by(SimulatedCards.parse, since_first=False)
    )
    networks: tuple[SimulatedNetwork, ...] = field(default=(), metadata=_read_by(_networks, since_first=False))
    pinned_guests: tuple[SimulatedPinnedGuest, ...] = field(
        default=(), metadata=_read_by(_pinned_guests, since_first=False)
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
        """Of each NUMA node; the threads of one core are on one node."""
        return tuple(
            share * self.threads_per_core for share in shares(self.cores // self.threads_per_core, self.numa_nodes)
        )

    @property
    def memory_mib_of_nodes(self) -> tuple[int, ...]:
        return shares(self.memory_mib, self.numa_nodes)

    @property
    def huge_pages_of_nodes(self) -> tuple[int, ...]:
        """In pages."""
        return shares(self.hugepages_mib // self.hugepage_size_mib, self.numa_nodes)

    @property
    def normalised(self) -> str:
        """The one text of this host, with its parameters in a fixed order."""
        told = [
            f"{name}={_text(getattr(self, name))}"
            for name, of in sorted(_parameters().items())
            if of.metadata["since_first"] or getattr(self, name) != of.default
        ]
        return f"{SCHEME}:{self.name}?" + "&".join(told)

    @classmethod
    def parse(cls, text: str) -> SimulatedAddress:
        """Raises InvalidRequest that says everything that is wrong with `text`, under `power_address`."""
        scheme, colon, rest = text.strip().partition(":")
        if scheme != SCHEME or not colon:
            raise _refused(f"expected simulated:NAME?cores=4&…, got '{text}'.")
        name, _, query = rest.partition("?")
        if not NAME.match(name):
            raise _refused(
                f"'{name}' is not a name: letters, digits, '.', '_' and '-', at most 63, no '.' or '-' at the ends."
            )
        values, wrong = _values(query)
        if wrong:
            raise _refused(*wrong)
        made = cls(name=name, **values)
        wrong = [*_impossible_cores(made), *_impossible_memory(made), *_impossible_storage(made)]
        wrong += _named_twice("networks", (network.name for network in made.networks))
        if wrong:
            raise _refused(*wrong)
        return made


def _impossible_cores(made: SimulatedAddress) -> Iterator[str]:
    threads = made.threads_per_core
    if made.cores % threads:
        yield f"cores={made.cores} is no multiple of threads_per_core={threads}."
    elif made.numa_nodes > made.cores // threads:
        of = f"cores={made.cores}" if threads == 1 else f"cores={made.cores} with threads_per_core={threads}"
        yield f"numa_nodes={made.numa_nodes} is more than {of}: each node has a core at least."
    for guest in made.pinned_guests:
        if guest.last_core >= made.cores:
            yield f"pinned_guests='{guest}': cores={made.cores} are numbered from 0 to {made.cores - 1}."


def _impossible_memory(made: SimulatedAddress) -> Iterator[str]:
    size_mib, asked_mib = made.hugepage_size_mib, made.hugepages_mib
    if size_mib & (size_mib - 1):
        yield f"hugepage_size_mib={size_mib} is no power of two."
    elif asked_mib % size_mib:
        yield f"hugepages_mib={asked_mib} is no multiple of hugepage_size_mib={size_mib}."
    elif any(
        pages * size_mib > memory_mib
        for pages, memory_mib in zip(made.huge_pages_of_nodes, made.memory_mib_of_nodes, strict=True)
    ):
        yield f"hugepages_mib={asked_mib} do not fit memory_mib={made.memory_mib} on numa_nodes={made.numa_nodes}."
    for guest in made.pinned_guests:
        if guest.huge_pages and guest.memory_mib > asked_mib:
            yield f"pinned_guests='{guest}': hugepages_mib={asked_mib} are not enough."


def _impossible_storage(made: SimulatedAddress) -> Iterator[str]:
    first, guests = made.storage_pools[0], made.guests + len(made.pinned_guests)
    size = f"storage_gb={made.storage_gb}" if isinstance(made.pools, int) else f"the pool {first}"
    if guests > first.size_gb:
        yield f"guests={guests} do not fit {size}: each has a disk of 1 GB."
    yield from _named_twice("pools", (pool.name for pool in made.storage_pools))


def _named_twice(parameter: str, names: Iterable[str]) -> list[str]:
    return [f"{parameter}: '{name}' is named twice." for name, times in Counter(names).items() if times > 1]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return f"{value:.12f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _refused(*messages: str) -> InvalidRequest:
    return InvalidRequest.of({FIELD: list(messages)})


def _parameters() -> Mapping[str, Attribute[Any]]:
    return {one.name: one for one in fields(SimulatedAddress) if one.name != "name"}


def _values(query: str) -> tuple[dict[str, Any], list[str]]:
    """What is given, each of its parameter's type, and what is wrong."""
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

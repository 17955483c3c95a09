"""The address of a simulated host: `simulated:NAME?cores=4&memory_mib=12288…`. The parameters are its hardware.

NAME alone is its identity. What it remembers (guests, disks) lives under NAME; cores, memory and storage are what the
address says now, as if somebody had put more into the machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import Attribute, field, fields, frozen

from common.errors import InvalidRequest

SCHEME = "simulated"
FIELD = "power_address"  # what the API calls it, so that errors name the caller's own field

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")  # never a path, never hidden


def _number(default: float, *, at_least: float, at_most: float) -> float:
    number: float = field(default=default, metadata={"at_least": at_least, "at_most": at_most})
    return number


def _whole(default: int, *, at_least: int, at_most: int) -> int:
    whole: int = field(default=default, metadata={"at_least": at_least, "at_most": at_most})
    return whole


@frozen(kw_only=True)
class SimulatedAddress:
    """A simulated host. Made by `parse`, which checks the ranges.

    `storage_gb` (10^9 bytes) is the size of each pool; `pools=2` adds `fast` to `default`. `guests` foreign guests are
    there when the host is first opened. Each call to the host takes `delay_ms`. A share `fault_rate` of the calls
    fails, chosen by `fault_seed`; with `hang_ms` a failing call first hangs that long.
    """

    name: str
    cores: int = _whole(4, at_least=1, at_most=4096)
    memory_mib: int = _whole(12288, at_least=1, at_most=64 * 1024 * 1024)
    storage_gb: int = _whole(100, at_least=1, at_most=10_000_000)
    numa_nodes: int = _whole(1, at_least=1, at_most=64)
    pools: int = _whole(1, at_least=1, at_most=2)
    guests: int = _whole(0, at_least=0, at_most=100_000)
    delay_ms: int = _whole(0, at_least=0, at_most=600_000)
    fault_rate: float = _number(0.0, at_least=0.0, at_most=1.0)
    fault_seed: int = _whole(0, at_least=0, at_most=2**31)
    hang_ms: int = _whole(0, at_least=0, at_most=3_600_000)

    @property
    def identity(self) -> str:
        return f"{SCHEME}/{self.name}"

    @property
    def normalised(self) -> str:
        """The one text of this host: every parameter, in a fixed order."""
        return f"{SCHEME}:{self.name}?" + "&".join(
            f"{name}={_text(getattr(self, name))}" for name in sorted(_parameters())
        )

    @classmethod
    def parse(cls, text: str) -> SimulatedAddress:
        """Raises InvalidRequest that says everything that is wrong with `text`, under `power_address`."""
        scheme, colon, rest = text.strip().partition(":")
        if scheme != SCHEME or not colon:
            raise _refused(f"expected simulated:NAME?cores=4&…, got '{text}'.")
        name, _, query = rest.partition("?")
        if not _NAME.match(name):
            raise _refused(
                f"'{name}' is not a name: letters, digits, '.', '_' and '-', at most 63, no '.' or '-' at the ends."
            )
        values, wrong = _values(query)
        if wrong:
            raise _refused(*wrong)
        made = cls(name=name, **values)
        if made.numa_nodes > made.cores:
            raise _refused(
                f"numa_nodes={made.numa_nodes} is more than cores={made.cores}: each node has a core at least."
            )
        if made.guests > made.storage_gb:
            raise _refused(f"guests={made.guests} do not fit storage_gb={made.storage_gb}: each has a disk of 1 GB.")
        return made


def _text(value: int | float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.12f}".rstrip("0").rstrip(".")


def _refused(*messages: str) -> InvalidRequest:
    return InvalidRequest.of({FIELD: list(messages)})


def _parameters() -> Mapping[str, Attribute[float]]:
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
            value = _value(known[name], text)
            if isinstance(value, str):
                wrong.append(value)
            else:
                values[name] = value
    return values, wrong


def _value(of: Attribute[float], text: str) -> int | float | str:
    """The number, or what is wrong with it."""
    least, most = of.metadata["at_least"], of.metadata["at_most"]
    whole = isinstance(of.default, int)
    pattern = r"[0-9]{1,12}" if whole else r"[0-9]{1,12}(\.[0-9]{1,12})?"
    if not re.fullmatch(pattern, text, re.ASCII):
        return f"{of.name}='{text}' is not a {'whole ' if whole else ''}number."
    value = int(text) if whole else float(text)
    if not least <= value <= most:
        return f"{of.name}={text} is not between {least} and {most}."
    return value

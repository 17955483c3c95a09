"""The order in which a guest tries its devices when it boots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from attrs import field, frozen
from attrs.validators import ge, le, min_len


class BootDevice(StrEnum):
    """A kind of device that a guest can boot from."""

    DISK = "disk"
    NETWORK = "network"
    ISO = "iso"  # the image in the guest's drive


BootOrder = tuple[BootDevice, ...]  # the kinds in the order in which they are tried, each once

_WORDS = {BootDevice.DISK: "disk", BootDevice.NETWORK: "network", BootDevice.ISO: "ISO image"}


@frozen(kw_only=True)
class BootOnce:
    """An order for one start. `key` is another one for each request, so that a repeated call can be recognized."""

    order: BootOrder = field(validator=min_len(1))
    key: str = field(validator=min_len(1))


@frozen(kw_only=True)
class BootOrders:
    """The kinds of devices that a guest tries at its next start.

    `pending` differs from `order` if the hypervisor cannot change a running guest: Innkeeper applies it when it next
    stops or starts the guest. Empty: nothing is pending.
    """

    order: BootOrder
    pending: BootOrder = ()
    runs: bool = False


@frozen(kw_only=True)
class IsoState:
    """The ISO image in a guest's drive, by its SHA-256; empty: none. `after` is that of its next start."""

    now: str
    after: str
    runs: bool = False


MAX_START_PRIORITY = 1000
MAX_START_DELAY_S = 3600


@frozen(kw_only=True)
class StartOrder:
    """When a guest starts with its host: those with a higher priority first, the next one after `delay_s`."""

    priority: int = field(default=0, validator=[ge(0), le(MAX_START_PRIORITY)])
    delay_s: int = field(default=0, validator=[ge(0), le(MAX_START_DELAY_S)])


def completed(named: Sequence[BootDevice], present: Iterable[BootDevice]) -> BootOrder:
    """Returns the named kinds, then the other present ones in their order."""
    return (*named, *(one for one in dict.fromkeys(present) if one not in named))


def begins_with(order: Sequence[BootDevice], named: Sequence[BootDevice]) -> bool:
    """Returns whether a guest with this order does what `named` asks for."""
    return tuple(order[: len(named)]) == tuple(named)


def order_text(order: Sequence[BootDevice]) -> str:
    """Returns `network, then disk`."""
    return ", then ".join(_WORDS[one] for one in order)


def joined(order: Iterable[BootDevice]) -> str:
    """Returns the order as drivers store it, which `parsed` reads."""
    return ",".join(one.value for one in order)


def parsed(text: str) -> BootOrder:
    """Returns the order in a stored text; unknown words, such as those of a newer release, are left out."""
    return known_devices(text.split(","))


def known_devices(words: Iterable[str]) -> BootOrder:
    """Returns the kinds that the words name, each once; unknown words are left out."""
    known = {one.value: one for one in BootDevice}
    return tuple(dict.fromkeys(known[word] for word in words if word in known))


def missing_text(name: str, missing: Sequence[BootDevice]) -> str:
    """Returns why a guest without devices of these kinds cannot boot from them."""
    lacks = {
        BootDevice.DISK: "disk",
        BootDevice.NETWORK: "NIC that can boot",
        BootDevice.ISO: "ISO image in a drive",
    }
    counted = " and ".join(f"no {lacks[one]}" for one in missing)
    return f"{name} has {counted}, so it cannot boot from {order_text(missing)}."

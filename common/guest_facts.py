"""Facts on a guest, its settings among them, that are the same in a driver's report and in the guest's row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import field, fields, frozen
from attrs.validators import ge, le, optional

from common.boot import BootOrder, StartOrder
from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts

MAX_GENERATION = 2**31 - 1  # as the column has


@frozen(kw_only=True)
class GuestSettings:
    """Settings that its hypervisor keeps, and that Innkeeper shows as they are there.

    None: unknown, or the hypervisor has no such setting. Each is a column of the table `guest`, of the same name.
    """

    start_order: StartOrder | None = None  # among those that start with its host
    uefi: bool | None = None  # whether it has UEFI firmware, not a BIOS
    secure_boot: bool | None = None  # whether its firmware starts signed systems only
    tpm: bool | None = None


NO_SETTINGS = GuestSettings()
SETTINGS = tuple(one.name for one in fields(GuestSettings))


def settings_in(value: GuestSettings) -> dict[str, Any]:
    """Returns the settings by name, to make another value with them."""
    return {name: getattr(value, name) for name in SETTINGS}


@frozen(kw_only=True)
class GuestFacts(GuestSettings):
    """`generation` counts the uses of the machine, and is written beside the marker before each; None: unknown."""

    name: str
    cores: int = field(validator=ge(0))
    memory_mib: int = field(validator=ge(0))
    project: str = ""
    architecture: str = ""
    pinned_core_ids: tuple[int, ...] = ()
    huge_pages_backed: bool = False
    kind: str = "vm"  # or "container", which uses capacity and is always foreign
    started_at: datetime | None = None  # of a running guest, to the second; None: the hypervisor does not report it
    boot_device: str | None = None  # the disk that boots first at the next start; None: unknown
    boot_order: BootOrder | None = None  # what it tries at its next start, whoever starts it; None: unknown
    pending_boot_order: BootOrder = ()  # applied when Innkeeper next stops or starts it; empty: none
    booted_once: str | None = None  # the key of the order for one start with which it was started
    iso: str = ""  # the image in its drive: the SHA-256 of one of the region's, else its name; empty: none
    next_iso: str | None = None  # as `iso`, from its next start on; None: as now, or unknown while it runs
    generation: int | None = field(default=None, validator=optional([ge(0), le(MAX_GENERATION)]))
    removal: RemovalFacts = NO_REMOVAL_FACTS

"""Settings of a guest that its hypervisor keeps, and that Innkeeper shows as they are there."""

from __future__ import annotations

from typing import Any

from attrs import fields, frozen

from common.boot import StartOrder


@frozen(kw_only=True)
class GuestSettings:
    """None: unknown, or the hypervisor has no such setting. Each is a column of the table `guest`, of the same name."""

    start_order: StartOrder | None = None  # among those that start with its host
    uefi: bool | None = None  # whether it has UEFI firmware, not a BIOS
    secure_boot: bool | None = None  # whether its firmware starts signed systems only
    tpm: bool | None = None


NO_SETTINGS = GuestSettings()
SETTINGS = tuple(one.name for one in fields(GuestSettings))


def settings_in(value: GuestSettings) -> dict[str, Any]:
    """Returns the settings by name, to make another value with them."""
    return {name: getattr(value, name) for name in SETTINGS}

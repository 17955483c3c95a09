"""The settings of guests that Innkeeper shows: how an instance has them, and the methods that change them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from common.boot import MAX_START_DELAY_S, MAX_START_PRIORITY, StartOrder
from common.guest_facts import NO_SETTINGS, GuestSettings
from common.values import GuestRef
from rackd.drivers.driver_errors import checks_answers
from rackd.drivers.lxd.inventory.config_values import is_true
from rackd.drivers.lxd.inventory.ownership import VM, Json, config_of

START_PRIORITY, START_DELAY = "boot.autostart.priority", "boot.autostart.delay"
_NUMBER = re.compile(r"[0-9]+", re.ASCII)


def settings_of(instance: Json) -> GuestSettings:
    """Returns what the instance has, from its profiles too; containers have no settings."""
    if instance.get("type") != VM:
        return NO_SETTINGS
    config = instance.get("expanded_config") or config_of(instance)
    devices = instance.get("expanded_devices") or instance.get("devices") or {}
    return GuestSettings(
        start_order=_start_order(config),
        uefi=_uefi(config),
        secure_boot=_secure_boot(config),
        tpm=any(device.get("type") == "tpm" for device in devices.values()),
    )


class Instances(Protocol):
    """The instances of the host that the methods need."""

    def of_machine(self, guest: GuestRef) -> Json: ...

    def change_config(self, name: str, config: Mapping[str, str]) -> None: ...


@checks_answers
class LxdSettings(ABC):
    """A part of the driver: each method that changes a setting."""

    @abstractmethod
    def _ready(self) -> Instances: ...

    def set_start_order(self, guest: GuestRef, order: StartOrder) -> StartOrder:
        instances = self._ready()
        found = instances.of_machine(guest)
        # An empty text removes a key: LXD's default is 0.
        wanted = {START_PRIORITY: str(order.priority or ""), START_DELAY: str(order.delay_s or "")}
        if any(config_of(found).get(key, "") != text for key, text in wanted.items()):
            instances.change_config(str(found["name"]), wanted)
        return order


def _start_order(config: Mapping[str, str]) -> StartOrder:
    """A number that is beyond what Innkeeper sets counts as the nearest one that it does."""
    return StartOrder(
        priority=min(_number(config.get(START_PRIORITY, "")), MAX_START_PRIORITY),
        delay_s=min(_number(config.get(START_DELAY, "")), MAX_START_DELAY_S),
    )


def _number(text: str) -> int:
    return int(text[:9]) if _NUMBER.fullmatch(text) else 0


def _uefi(config: Mapping[str, str]) -> bool:
    """Returns whether the firmware is UEFI, as it is unless a key asks for a BIOS."""
    mode = config.get("boot.mode", "")
    return mode != "bios" if mode else not is_true(config.get("security.csm"))


def _secure_boot(config: Mapping[str, str]) -> bool:
    """Returns whether it is on, as in LXD without a key."""
    mode = config.get("boot.mode", "")
    if mode:
        return mode == "uefi-secureboot"
    return is_true(config.get("security.secureboot"), unset=True)

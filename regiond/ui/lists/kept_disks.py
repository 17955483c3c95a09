"""Kept disks as pages list them, with the reason why the caller cannot use one. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from common.errors import InnkeeperError
from regiond.machines.hardware.disks.model import check_may_use
from regiond.machines.values.disks import KeptDisk
from regiond.requests.caller import Caller
from regiond.ui.texts import text


@frozen(kw_only=True)
class KeptChoice:
    """A kept disk. `obstacle` is why the caller cannot attach or delete it; empty: nothing is in the way."""

    disk: KeptDisk
    obstacle: str

    @property
    def title(self) -> str:
        return title_of(self.disk)


def title_of(disk: KeptDisk) -> str:
    """Returns such as `data of web-1`."""
    if disk.label:
        return text("{name} of {vm}", name=disk.label, vm=disk.hostname)
    return text("disk of {vm}", vm=disk.hostname)


def kept_choices(caller: Caller, disks: Iterable[KeptDisk]) -> tuple[KeptChoice, ...]:
    return tuple(KeptChoice(disk=disk, obstacle=_obstacle(caller, disk)) for disk in disks)


def _obstacle(caller: Caller, disk: KeptDisk) -> str:
    try:
        check_may_use(caller, disk)
    except InnkeeperError as error:
        return error.message
    return ""

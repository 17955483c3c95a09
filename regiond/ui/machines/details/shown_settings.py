"""The lines of the tab *Configuration* that the forms of a VM declare, in a list `SHOWN` of their modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from attrs import frozen

from common.collected import collected
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission
from regiond.ui.machines.details.frame import change_obstacle
from regiond.ui.rendering.page import Visit


@frozen(kw_only=True)
class Shown:
    """A value of a VM, with a link to the form that changes it, at `address` below that of the VM.

    `text_of` returns the value as the reader sees it; empty: the line is not shown.
    """

    label: str
    text_of: Callable[[MachineView], str]
    address: str
    link: str
    permission: Permission = Permission.OPERATOR


@frozen(kw_only=True)
class Line:
    label: str
    text: str
    address: str
    link: str  # empty: the reader may not change the value


def lines_of(visit: Visit, machine: MachineView) -> Iterator[Line]:
    has_guest = machine.host_id is not None and machine.guest_name is not None
    may_change = has_guest and not change_obstacle(visit.caller, machine)
    for shown in _all():
        if text := shown.text_of(machine):
            may = may_change and (visit.caller.is_admin or shown.permission is not Permission.ADMIN)
            yield Line(label=shown.label, text=text, address=shown.address, link=shown.link if may else "")


@cache
def _all() -> tuple[Shown, ...]:
    return tuple(collected("regiond.ui.machines", "SHOWN", Shown))

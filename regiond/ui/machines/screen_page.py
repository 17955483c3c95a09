"""The screen of a VM, and the WebSockets of its viewer."""

from __future__ import annotations

from common.errors import NotAllowed
from regiond.accounts.sessions import Sessions
from regiond.api.replies import Reply
from regiond.machines.core.ownership_rules import may_act
from regiond.ui.machines.console_page import open_socket
from regiond.ui.machines.details.frame import SCREEN, read_vm, vm_page
from regiond.ui.rendering.page import Page, Visit


async def show(visit: Visit) -> Reply:
    vm = await read_vm(visit)
    if not may_act(visit.caller, vm.machine):
        raise NotAllowed("Only the owner of a VM, as an operator of its pool, and administrators see its screen.")
    return await vm_page(visit, vm, SCREEN, protocol=vm.machine.screen_protocol)


def socket_page(sessions: Sessions) -> Page:
    """The WebSockets of the viewer, as that of the console: VNC has one, SPICE one for each channel."""

    async def connect(visit: Visit) -> Reply:
        return await open_socket(visit, sessions, "screen", screen=visit.request.option("screen"))

    return Page(path="vms/<system_id>/screen/socket", handle=connect)


PAGES = (Page(path="vms/<system_id>/screen", handle=show),)

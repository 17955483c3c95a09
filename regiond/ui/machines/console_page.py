"""The console of a VM: the log of its serial port, which follows a deployment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import evolve

from common.errors import DatabaseUnavailable, InnkeeperError, NotAllowed, NotFound
from regiond.accounts.sessions import Sessions
from regiond.api.replies import Reply, Terminal
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.ui.machines.details.frame import CONSOLE, read_vm, vm_page
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import text

StillOpen = Callable[[], Awaitable[bool]]

_LAST_LINES = 12
_STOPS_POLLING = 286  # htmx asks no more


async def show(visit: Visit) -> Reply:
    vm = await read_vm(visit)
    text, problem = await _log(visit, vm.machine)
    return await vm_page(
        visit, vm, CONSOLE, text=text, problem=problem, follows=vm.machine.state is MachineState.DEPLOYING
    )


async def end(visit: Visit) -> Reply:
    """The last lines, for the page of the VM."""
    try:
        text, problem = await _log(visit, await _machine(visit))
    except NotFound as error:
        return _gone(visit, error)
    lines = "\n".join(text.rstrip().split("\n")[-_LAST_LINES:])
    return visit.fragment("machines/console/console_text.html", text=lines or problem)


async def follow(visit: Visit) -> Reply:
    """The text alone, for a page that shows it already."""
    try:
        machine = await _machine(visit)
        text, problem = await _log(visit, machine)
    except NotFound as error:
        return _gone(visit, error)
    status = 200 if machine.state is MachineState.DEPLOYING else _STOPS_POLLING
    return visit.fragment("machines/console/console_text.html", text=text or problem, status=status)


def _gone(visit: Visit, error: NotFound) -> Reply:
    """The VM was deleted while its page is open, which says so where the text was."""
    return visit.fragment("machines/console/console_text.html", text=error.message, status=_STOPS_POLLING)


def socket_page(sessions: Sessions) -> Page:
    """The WebSocket of the terminal. Browsers send cookies with those of other sites too, so its origin is checked."""

    async def connect(visit: Visit) -> Reply:
        return await open_socket(visit, sessions, "console")

    return Page(path="vms/<system_id>/console/socket", handle=connect)


async def open_socket(visit: Visit, sessions: Sessions, op: str, **fields: str) -> Reply:
    """Answers the request for a WebSocket of a page with that of the API."""
    if visit.request.origin_header != visit.request.origin:
        raise NotAllowed("A console is opened from the pages of this region only.")
    machine = await _machine(visit)
    reply = await visit.actions.reply(
        visit.session, visit.request, MACHINE, "GET", op, path={"system_id": machine.system_id}, fields=fields
    )
    begin = reply.upgrade
    if begin is None:
        return reply

    async def is_logged_in() -> bool:
        return await sessions.find(visit.request.cookie) is not None

    async def run(terminal: Terminal, _: StillOpen) -> str:
        return await begin(terminal, is_logged_in)

    return evolve(reply, upgrade=run)


async def _machine(visit: Visit) -> MachineView:
    return await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)


async def _log(visit: Visit, machine: MachineView) -> tuple[str, str]:
    """Returns the text, and why there is none."""
    try:
        log = await visit.services.consoles.log(visit.caller, machine.system_id)
    except (NotAllowed, NotFound, DatabaseUnavailable):
        raise
    except InnkeeperError as error:
        return "", error.message
    return log, "" if log else text("The VM has written nothing to its serial port since its last start.")


PAGES = (
    Page(path="vms/<system_id>/console", handle=show),
    Page(path="vms/<system_id>/console/log", handle=follow),
    Page(path="vms/<system_id>/console/tail", handle=end),
)

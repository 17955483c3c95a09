"""The console of a VM: the log of its serial port, which follows a deployment."""

from __future__ import annotations

from common.errors import DatabaseUnavailable, InnkeeperError, NotAllowed, NotFound
from regiond.api.replies import Reply
from regiond.machines.model import MachineState, MachineView
from regiond.ui.page import Page, Visit

_STOPS_POLLING = 286  # htmx asks no more


async def show(visit: Visit) -> Reply:
    machine = await _machine(visit)
    text, problem = await _log(visit, machine)
    return await visit.page(
        "machines/console.html",
        title=f"Console of {machine.hostname}",
        section="vms",
        vm=machine,
        text=text,
        problem=problem,
        follows=machine.state is MachineState.DEPLOYING,
    )


async def follow(visit: Visit) -> Reply:
    """The text alone, for a page that shows it already."""
    machine = await _machine(visit)
    text, problem = await _log(visit, machine)
    status = 200 if machine.state is MachineState.DEPLOYING else _STOPS_POLLING
    return visit.renderer.fragment(visit, "machines/console_text.html", {"text": text or problem}, status=status)


async def _machine(visit: Visit) -> MachineView:
    return await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)


async def _log(visit: Visit, machine: MachineView) -> tuple[str, str]:
    """Returns the text, and why there is none."""
    try:
        text = await visit.services.consoles.log(visit.caller, machine.system_id)
    except (NotAllowed, NotFound, DatabaseUnavailable):
        raise
    except InnkeeperError as error:
        return "", error.message
    return text, "" if text else "The VM has written nothing to its serial port since its last start."


PAGES = (
    Page(path="vms/<system_id>/console", handle=show),
    Page(path="vms/<system_id>/console/log", handle=follow),
)

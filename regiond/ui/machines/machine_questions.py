"""The questions before actions on one VM: what is interrupted, and how it is undone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import frozen

from common.values import PowerAction
from common.words.operation_kinds import OperationKind
from regiond.machines.values.model import MachineView
from regiond.machines.values.power import PowerRequest
from regiond.operations.model import Operation, OperationState
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.question import NO_UNDO, Question, Subject
from regiond.ui.texts import constant, text
from regiond.ui.views import formats
from regiond.ui.web_request import page_url

SECTION = "vms"
CUTS_POWER = constant("The power is cut: what the guest has not written to its disks is lost.")
SHUTS_DOWN = constant("The guest is asked to shut down. If it does not within the time that is set, its power is cut.")
RESTARTS = constant("The guest is asked to shut down, or its power is cut, and then it is started again.")
REPLACES_SYSTEM = constant(
    "Root disks and all data on them are deleted. Other disks, NICs, addresses and names stay. A guest that runs is "
    "shut down once its host has the image."
)
_REASON = FormField(
    name="comment", label=constant("Why it is broken"), optional=True, help=constant("Shown with the VM")
)


@frozen(kw_only=True)
class Words:
    """In the title and the effect, `{}` is the name of the VM."""

    title: str
    button: str
    effect: str
    undo: str
    is_dangerous: bool = False
    is_typed: bool = False
    fields: Sequence[FormField] = ()


_RUNNING, _OFF, _UNKNOWN = constant("running"), constant("off"), constant("power state unknown")
WORDS: Mapping[str, Words] = {
    "stop": Words(
        title=constant("Stop {}?"), button=constant("Stop VM"), effect=SHUTS_DOWN,
        undo=constant("It can be started again."),
    ),
    "restart": Words(title=constant("Restart {}?"), button=constant("Restart VM"), effect=RESTARTS, undo=NO_UNDO),
    "off": Words(
        title=constant("Power off {}?"), button=constant("Power off VM"), effect=CUTS_POWER,
        undo=constant("This cannot be undone. The VM stays and can be started again."),
        is_dangerous=True, is_typed=True,
    ),
    "broken": Words(
        title=constant("Mark {} broken?"), button=constant("Mark broken"), effect=constant(
            "Nobody is given {} until it is marked fixed. Its guest and its owner stay as they are."
        ),
        undo=constant("Marking it fixed undoes this."), fields=(_REASON,),
    ),
}  # fmt: skip


def crumbs_of(machine: MachineView) -> tuple[tuple[str, str], ...]:
    return ((text("VMs"), page_url(SECTION)), (machine.hostname, page_url(SECTION, machine.system_id)))


def question_of(name: str, machine: MachineView, since: datetime | None, now: datetime) -> Question:
    """Returns the question of an action that asks. `since` is when the guest began to run; None: it does not."""
    words, hostname = WORDS[name], machine.hostname
    return Question(
        title=words.title.format(hostname),
        section=SECTION,
        crumbs=crumbs_of(machine),
        button=words.button,
        back=page_url(SECTION, machine.system_id),
        undo=words.undo,
        subjects=(Subject(name=hostname, detail=detail_of(machine, since, now)),),
        effects=(words.effect.format(hostname),),
        typed=hostname if words.is_typed else "",
        is_dangerous=words.is_dangerous,
        fields=words.fields,
    )


def detail_of(machine: MachineView, since: datetime | None, now: datetime) -> str:
    """Such as `on alder, running since 12:03:11 (2 h), of ann`."""
    host = text("on {host}", host=machine.host_name) if machine.host_name else text("on no host")
    parts = (host, _power_of(machine, since, now))
    return ", ".join((*parts, text("of {name}", name=machine.owner)) if machine.owner else parts)


def _power_of(machine: MachineView, since: datetime | None, now: datetime) -> str:
    if since:
        return text("running since {time} ({span})", time=formats.clock(since, now), span=formats.span(now - since))
    return text({"on": _RUNNING, "off": _OFF}.get(machine.power_state, _UNKNOWN))


def running_since(machine: MachineView, tasks: Iterable[Operation]) -> datetime | None:
    """Returns when the guest began to run, as far as is known; None if it is off. `tasks` are the VM's.

    A restart by Innkeeper leaves the power state as it was: its task has the time.
    """
    if machine.power_state != "on":
        return None
    restarts = [
        task.finished_at
        for task in tasks
        if task.finished_at and task.state is OperationState.SUCCEEDED and task.kind is OperationKind.POWER
        and (asked := task.request_if(PowerRequest)) is not None and asked.action is PowerAction.CYCLE
    ]  # fmt: skip
    times = [*restarts, *([machine.power_changed_at] if machine.power_changed_at else [])]
    return max(times, default=None)

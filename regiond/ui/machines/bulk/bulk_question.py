"""The question before an action on many VMs: what it changes and what is to be typed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from regiond.ui.forms.question import NO_UNDO, Question
from regiond.ui.machines.bulk.bulk_actions import BulkAction, Split
from regiond.ui.machines.machine_questions import SECTION
from regiond.ui.texts import counted, text
from regiond.ui.views import formats


@frozen(kw_only=True)
class Running:
    """The VM that has been running longest."""

    since: datetime
    name: str


def typed_name(found: Split) -> str:
    """Returns the text that confirms the action: the name of one VM, the number of several."""
    return found.changed[0].hostname if len(found.changed) == 1 else str(len(found.changed))


def bulk_question(
    found: Split,
    *,
    back: str,
    kept: Mapping[str, str],
    running: Running | None,
    now: datetime,
    shows_plan: bool = True,
) -> Question:
    """`back` is the list where the VMs were selected. Without a VM to change there is no button.

    A question that does not show the plan yet, as it needs the answers for that, has a button that leads to it.
    """
    action, any_changed = found.action, bool(found.changed)
    return Question(
        title=_title(found),
        section=SECTION,
        crumbs=((text("VMs"), back),),
        button=_button(action, len(found.changed), shows_plan=shows_plan) if any_changed else "",
        back=back,
        undo=NO_UNDO if action.is_dangerous and any_changed else "",
        effects=_effects(found, running, now) if any_changed else (),
        typed=typed_name(found) if action.is_typed and any_changed else "",
        is_dangerous=action.is_dangerous,
        kept=(("action", action.key), *kept.items(), *(("selected", one.system_id) for one in found.changed)),
    )


def _title(found: Split) -> str:
    action, number = found.action, len(found.changed)
    if action.asks == "place":
        return counted("Set the pool or zone of {n} VM", "Set the pool or zone of {n} VMs", number)
    if action.asks == "tags":
        return counted("Tag {n} VM", "Tag {n} VMs", number)
    if action.asks in _WHOLE:
        return _whole(action.asks, number)
    return counted(
        "{action} {number} of {n} VM?", "{action} {number} of {n} VMs?", found.total, action=action.label, number=number
    )


_WHOLE = frozenset(
    {"disk", "boot", "nic", "grow", "move", "remove_disk", "network", "remove_nic"}
)  # a sentence of their own, since the number stands at its end


def _whole(asks: str, number: int) -> str:
    match asks:
        case "disk":
            found = counted("Add a disk to {n} VM", "Add a disk to {n} VMs", number)
        case "grow":
            found = counted("Grow a disk of {n} VM", "Grow a disk of {n} VMs", number)
        case "move":
            found = counted("Move a disk of {n} VM", "Move a disk of {n} VMs", number)
        case "remove_disk":
            found = counted("Remove a disk of {n} VM", "Remove a disk of {n} VMs", number)
        case "nic":
            found = counted("Add a NIC to {n} VM", "Add a NIC to {n} VMs", number)
        case "network":
            found = counted("Change a NIC of {n} VM", "Change a NIC of {n} VMs", number)
        case "remove_nic":
            found = counted("Remove a NIC of {n} VM", "Remove a NIC of {n} VMs", number)
        case _:
            found = counted("Set boot order of {n} VM", "Set boot order of {n} VMs", number)
    return found


def _button(action: BulkAction, number: int, *, shows_plan: bool) -> str:
    if not shows_plan:
        return text("Show what changes")
    if action.asks == "place":
        return action.label
    if action.asks in _WHOLE:
        return _whole(action.asks, number)
    return counted("{action} {n} VM", "{action} {n} VMs", number, action=action.label)


def _effects(found: Split, running: Running | None, now: datetime) -> tuple[str, ...]:
    if not found.action.effect:
        return ()
    if running is None:
        return (found.action.effect,)
    time, span = formats.clock(running.since, now), formats.span(now - running.since)
    if len(found.changed) == 1:
        return found.action.effect, text("It runs since {time} ({span}).", time=time, span=span)
    longest = text("{name} runs longest, since {time} ({span}).", name=running.name, time=time, span=span)
    return found.action.effect, longest

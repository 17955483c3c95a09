"""The form of a VM's description and tags: its values, and what a change of the tags sends. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from regiond.machines.values.model import MachineView
from regiond.ui.forms.edit import Edit, begin_edit

DESCRIPTION, TAGS = "description", "tags"


@frozen(kw_only=True)
class TagChanges:
    add: tuple[str, ...]
    remove: tuple[str, ...]


def values_of(machine: MachineView, *, is_admin: bool = True) -> dict[str, str]:
    """Returns what the form has: tags are for administrators."""
    tags = {TAGS: ", ".join(machine.tags)} if is_admin else {}
    return {DESCRIPTION: machine.description, **tags}


def unchanged(machine: MachineView) -> Edit:
    return begin_edit(values_of(machine))


def names_in(text: str) -> tuple[str, ...]:
    """The names in a text that has them separated by commas or spaces, without duplicates, in their order."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def tag_changes(now: Sequence[str], wanted: str) -> TagChanges:
    names = names_in(wanted)
    return TagChanges(
        add=tuple(name for name in names if name not in now),
        remove=tuple(name for name in now if name not in names),
    )

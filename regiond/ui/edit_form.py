"""A form that edits an object which somebody else may edit at the same time. Pure.

The form carries what it was rendered with. Whoever sends it changes only the fields that they changed; a field that
somebody else changed meanwhile is a conflict, which shows both values and lets its user choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from regiond.ui.web_request import WebRequest


@frozen(kw_only=True)
class EditField:
    """`kind` is `text`, `area`, `number`, `choice` or `tick`; a tick has the values `true` and empty.

    `none_label` is what a choice calls the empty value; without it, a choice has no empty value.
    """

    name: str
    label: str
    kind: str = "text"
    options: tuple[tuple[str, str], ...] = ()
    none_label: str = ""
    optional: bool = False
    help: str = ""


@frozen(kw_only=True)
class EditForm:
    """`values` are shown, `was` are those that the next answer is compared with; `conflicts` are names of fields."""

    fields: tuple[EditField, ...]
    current: Mapping[str, str]
    values: Mapping[str, str]
    conflicts: frozenset[str] = field(default=frozenset())

    @property
    def changes(self) -> dict[str, str]:
        """What the user changed, by name; not what is in conflict."""
        return {
            one.name: self.values[one.name]
            for one in self.fields
            if one.name not in self.conflicts and self.values[one.name] != self.current[one.name]
        }


def shown_form(fields: Sequence[EditField], current: Mapping[str, str]) -> EditForm:
    """Before anything was typed."""
    return EditForm(fields=tuple(fields), current=current, values=dict(current))


def sent_form(request: WebRequest, fields: Sequence[EditField], current: Mapping[str, str]) -> EditForm:
    """What was typed, compared with `current`, the object as it is now."""
    values: dict[str, str] = {}
    conflicts: set[str] = set()
    for one in fields:
        typed, now = _typed(request, one), current[one.name]
        was = request.given(f"was-{one.name}", now).replace("\r\n", "\n")
        if typed == was or request.given(f"take-{one.name}") == "theirs":
            typed = now  # untouched here, so that the other change stays
        elif now not in {was, typed}:
            conflicts.add(one.name)
        values[one.name] = typed
    return EditForm(fields=tuple(fields), current=current, values=values, conflicts=frozenset(conflicts))


def _typed(request: WebRequest, one: EditField) -> str:
    return request.given(one.name).strip().replace("\r\n", "\n")

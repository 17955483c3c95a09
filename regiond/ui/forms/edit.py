"""Forms that change an object: tells what the user changed from what others changed meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from regiond.ui.web_request import WebRequest

_BEFORE = "was-"


@frozen(kw_only=True)
class Conflict:
    """A value that somebody else changed after the form was opened, when it `was`, and its user too."""

    was: str
    theirs: str
    ours: str


NO_CONFLICTS: Mapping[str, Conflict] = {}


@frozen(kw_only=True)
class Edit:
    """`values` are for the fields, `current` what the object has now; the form carries it, to be compared when sent.

    `changes` are the values that the user changed. A value that only somebody else changed is shown, and left.
    """

    values: Mapping[str, str]
    current: Mapping[str, str]
    changes: Mapping[str, str] = field(factory=dict)
    conflicts: Mapping[str, Conflict] = field(factory=dict)


def begin_edit(current: Mapping[str, str]) -> Edit:
    return Edit(values=current, current=current)


def read_edit(request: WebRequest, current: Mapping[str, str], *, absent_is_empty: bool = True) -> Edit:
    """The form as it was sent. A field that it lacks is a tick that is not set: an empty text; or else unchanged."""
    before = {name: _text(request.given(_BEFORE + name, now)) for name, now in current.items()}
    typed = {name: _text(request.given(name, "" if absent_is_empty else before[name])) for name in current}
    return compare(before=before, typed=typed, current=current)


def compare(*, before: Mapping[str, str], typed: Mapping[str, str], current: Mapping[str, str]) -> Edit:
    changes = {name: text for name, text in typed.items() if text not in {before[name], current[name]}}
    conflicts = {
        name: Conflict(was=before[name], theirs=current[name], ours=text)
        for name, text in changes.items()
        if current[name] != before[name]
    }
    return Edit(values={**current, **changes}, current=current, changes=changes, conflicts=conflicts)


def _text(text: str) -> str:
    """Browsers send CR LF."""
    return text.replace("\r\n", "\n").strip()

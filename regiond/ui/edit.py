"""Forms that change an object: tells what the user changed from what others changed meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from regiond.ui.web_request import WebRequest

CONFLICT = 409
_BEFORE = "was-"


@frozen(kw_only=True)
class Conflict:
    """A value that somebody else changed after the form was opened, and its user too."""

    theirs: str
    ours: str


@frozen(kw_only=True)
class Edit:
    """`values` are for the fields, `current` what the object has now; the form carries it, to be
    compared when it is sent.

    `changes` are the values that the user changed. A value that only somebody else changed is shown, and left.
    """

    values: Mapping[str, str]
    current: Mapping[str, str]
    changes: Mapping[str, str] = field(factory=dict)
    conflicts: Mapping[str, Conflict] = field(factory=dict)


def begin_edit(current: Mapping[str, str]) -> Edit:
    return Edit(values=current, current=current)


def read_edit(request: WebRequest, current: Mapping[str, str]) -> Edit:
    """The form as it was sent. A tick that is not set is an empty text, as the value of `current` has to be."""
    typed = {name: _lines(request.given(name)) for name in current}
    before = {name: _lines(request.given(_BEFORE + name, now)) for name, now in current.items()}
    return compare(before=before, typed=typed, current=current)


def compare(*, before: Mapping[str, str], typed: Mapping[str, str], current: Mapping[str, str]) -> Edit:
    changes = {name: text for name, text in typed.items() if text not in {before[name], current[name]}}
    conflicts = {
        name: Conflict(theirs=current[name], ours=text)
        for name, text in changes.items()
        if current[name] != before[name]
    }
    return Edit(values={**current, **changes}, current=current, changes=changes, conflicts=conflicts)


def _lines(text: str) -> str:
    """Browsers send CR LF."""
    return text.replace("\r\n", "\n")

"""Edits of two people at the same time: a form carries the values with which it was made. Pure.

A form has a hidden field `was-NAME` beside each field NAME. What its user did not change is not sent, so that the
other's change stays; what both changed is a conflict, which the user decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from regiond.ui.web_request import WebRequest

WAS = "was-"


@frozen(kw_only=True)
class Conflict:
    """Both changed `name` from `was`: it is `now`, and the user of the form wants `given`."""

    name: str
    was: str
    now: str
    given: str


@frozen(kw_only=True)
class Edits:
    """`values` is what the form shows again: what its user changed, else what is stored now."""

    values: Mapping[str, str]
    changed: Mapping[str, str]
    conflicts: tuple[Conflict, ...]


def read_edits(request: WebRequest, now: Mapping[str, str]) -> Edits:
    """Compares a form with what is stored, `now`. A field that the form does not have is unchanged."""
    values, changed, conflicts = {}, {}, []
    for name, current in now.items():
        was = request.given(WAS + name, current)
        given = request.given(name, was).strip()
        if given == was:
            values[name] = current
            continue
        values[name] = changed[name] = given
        if current not in {was, given}:
            conflicts.append(Conflict(name=name, was=was, now=current, given=given))
    return Edits(values=values, changed=changed, conflicts=tuple(conflicts))

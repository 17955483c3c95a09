"""Forms that change an object: what the user changed, and what others changed meanwhile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regiond.ui.forms.edit import Conflict, begin_edit, compare, read_edit
from regiond.ui.web_request import WebRequest

VALUES = st.fixed_dictionaries({"name": st.sampled_from("abc"), "email": st.sampled_from(["", "a", "b"])})


def test_a_form_that_nobody_changed_changes_nothing() -> None:
    edit = compare(before={"name": "a"}, typed={"name": "a"}, current={"name": "a"})
    assert (edit.changes, edit.conflicts) == ({}, {})


def test_a_value_that_only_others_changed_stays_theirs() -> None:
    edit = compare(before={"name": "a"}, typed={"name": "a"}, current={"name": "b"})
    assert (edit.values, edit.changes, edit.conflicts) == ({"name": "b"}, {}, {})


def test_a_value_that_both_changed_is_a_conflict_with_both() -> None:
    edit = compare(before={"name": "a"}, typed={"name": "c"}, current={"name": "b"})
    assert edit.conflicts == {"name": Conflict(was="a", theirs="b", ours="c")}
    assert edit.values == {"name": "c"}


def test_the_form_that_shows_a_conflict_overwrites_when_sent_again() -> None:
    shown = compare(before={"name": "a"}, typed={"name": "c"}, current={"name": "b"})
    again = compare(before=shown.current, typed=shown.values, current={"name": "b"})
    assert (again.changes, again.conflicts) == ({"name": "c"}, {})


@given(before=VALUES, typed=VALUES, current=VALUES)
def test_no_change_of_others_is_overwritten_without_a_conflict(
    before: dict[str, str], typed: dict[str, str], current: dict[str, str]
) -> None:
    edit = compare(before=before, typed=typed, current=current)
    for name, now in current.items():
        if now != before[name] and name not in edit.conflicts:
            assert edit.values[name] == now
            assert name not in edit.changes
        if typed[name] != before[name]:
            assert edit.values[name] == typed[name]


def test_line_ends_of_browsers_are_no_change() -> None:
    form = {"description": ("one\r\ntwo",), "was-description": ("one\r\ntwo",)}
    edit = read_edit(WebRequest(method="POST", path="/", form=form), {"description": "one\ntwo"})
    assert edit == begin_edit({"description": "one\ntwo"})


def test_a_tick_that_is_taken_away_is_a_change() -> None:
    form = {"was-is_active": ("true",)}
    edit = read_edit(WebRequest(method="POST", path="/", form=form), {"is_active": "true"})
    assert edit.changes == {"is_active": ""}


def test_a_field_that_the_form_lacks_can_mean_unchanged() -> None:
    edit = read_edit(WebRequest(method="POST", path="/"), {"zone": "north"}, absent_is_empty=False)
    assert (edit.changes, edit.values) == ({}, {"zone": "north"})

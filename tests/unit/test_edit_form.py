"""Forms that two people edit at the same time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regiond.ui.edit_form import EditField, EditForm, sent_form
from regiond.ui.web_request import WebRequest

FIELDS = (EditField(name="name", label="Name"), EditField(name="zone", label="Zone"))


def sent(current: dict[str, str], **form: str) -> EditForm:
    request = WebRequest(method="POST", path="/", form={key.replace("_", "-"): (form[key],) for key in form})
    return sent_form(request, FIELDS, current)


def test_only_what_was_changed_is_sent() -> None:
    form = sent({"name": "a", "zone": "east"}, name="b", was_name="a", zone="east", was_zone="east")
    assert form.changes == {"name": "b"}
    assert not form.conflicts


def test_a_field_that_only_others_changed_keeps_their_value() -> None:
    form = sent({"name": "a", "zone": "west"}, name="b", was_name="a", zone="east", was_zone="east")
    assert form.changes == {"name": "b"}
    assert form.values["zone"] == "west"


def test_a_field_that_both_changed_is_a_conflict() -> None:
    form = sent({"name": "theirs", "zone": ""}, name="mine", was_name="a", zone="", was_zone="")
    assert form.conflicts == {"name"}
    assert form.changes == {}
    assert form.values["name"] == "mine"


def test_the_same_change_by_both_is_no_conflict() -> None:
    form = sent({"name": "same", "zone": ""}, name="same", was_name="a", zone="", was_zone="")
    assert not form.conflicts
    assert form.changes == {}


def test_the_choice_of_a_conflict_decides() -> None:
    current = {"name": "theirs", "zone": ""}
    both = {"name": "mine", "was_name": "theirs", "zone": "", "was_zone": ""}
    assert sent(current, **both, take_name="mine").changes == {"name": "mine"}
    assert sent(current, **both, take_name="theirs").changes == {}


def test_line_breaks_of_browsers_are_no_change() -> None:
    form = sent({"name": "one\ntwo", "zone": ""}, name="one\r\ntwo", was_name="one\r\ntwo", zone="", was_zone="")
    assert form.changes == {}


TEXT = st.sampled_from(["a", "b", "c", ""])


@given(was=TEXT, now=TEXT, typed=TEXT)
def test_nobody_s_change_is_lost_without_a_choice(was: str, now: str, typed: str) -> None:
    form = sent({"name": now, "zone": ""}, name=typed, was_name=was, zone="", was_zone="")
    saved = form.changes.get("name", now)
    if now != was:
        assert saved == now
    elif not form.conflicts:
        assert saved == typed

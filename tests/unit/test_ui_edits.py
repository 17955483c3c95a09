"""Forms of two people who edit the same object."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regiond.ui.host_edits import Conflict, read_edits
from regiond.ui.web_request import WebRequest

TEXT = st.sampled_from(["", "east", "west", "north"])


def form(**fields: str) -> WebRequest:
    sent = {name.replace("was_", "was-"): (value,) for name, value in fields.items()}
    return WebRequest(method="POST", path="/", form=sent)


def test_what_its_user_left_alone_is_not_sent() -> None:
    edits = read_edits(form(name="elm", was_name="elm", zone="west", was_zone="east"), {"name": "oak", "zone": "east"})
    assert edits.changed == {"zone": "west"}
    assert edits.values == {"name": "oak", "zone": "west"}
    assert edits.conflicts == ()


def test_a_field_that_both_changed_is_a_conflict() -> None:
    edits = read_edits(form(zone="west", was_zone="east"), {"zone": "north"})
    assert edits.conflicts == (Conflict(name="zone", was="east", now="north", given="west"),)
    assert edits.values == {"zone": "west"}


def test_a_field_that_the_form_lacks_is_unchanged() -> None:
    assert read_edits(form(), {"zone": "north"}).changed == {}


@given(was=TEXT, now=TEXT, mine=TEXT)
def test_nobody_loses_a_change_without_a_conflict(was: str, now: str, mine: str) -> None:
    edits = read_edits(form(zone=mine, was_zone=was), {"zone": now})
    stored = {"zone": now, **edits.changed}["zone"]
    if not edits.conflicts:
        assert stored == (now if mine == was else mine)
        assert now in {was, stored} or mine == was
    else:
        assert len({was, now, mine}) == 3

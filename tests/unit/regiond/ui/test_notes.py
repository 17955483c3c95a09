"""The note after an action: only the session's own words, only on the page that they are for."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiond.ui.rendering.notes import Note, cleared_cookie, note_cookie, read_note, task_in

PATH, KEY = "/MAAS/ui/vms/abc123", b"key"
NOTE = Note(text="web-1 is locked.", task=7, link=("All tasks", "/MAAS/ui/tasks"))


def sent(set_cookie: str) -> str:
    """The `Cookie` header of the browser's next request."""
    return set_cookie.partition(";")[0]


@given(st.builds(Note, text=st.text(max_size=300), task=st.integers(0, 2**62)))
def test_a_note_arrives_as_it_was_left(note: Note) -> None:
    header = sent(note_cookie(note, path=PATH, key=KEY, secure=False))
    assert read_note(f"other=1; {header}", path=PATH, key=KEY) == note


def test_a_note_is_for_one_page_and_one_session() -> None:
    header = sent(note_cookie(NOTE, path=PATH, key=KEY, secure=False))
    assert read_note(header, path=PATH, key=KEY) == NOTE
    assert read_note(header, path=PATH + "/edit", key=KEY) is None
    assert read_note(header, path=PATH, key=b"another session") is None


@pytest.mark.parametrize("value", ["", "x", "e30=.", "e30=.0000", "é.é", "!.!", ".", "eyJ0ZXh0IjoiaGkifQ==.aa"])
def test_a_note_of_somebody_else_is_not_shown(value: str) -> None:
    assert read_note(f"innkeeper_note={value}", path=PATH, key=KEY) is None


@pytest.mark.parametrize("character", ["a", "ä", "\N{GRINNING FACE}", "\n", "\0"])
def test_a_long_text_fits_into_a_cookie(character: str) -> None:
    cookie = note_cookie(Note(text=character * 5000), path=PATH, key=KEY, secure=True)
    assert len(cookie) < 4000
    found = read_note(sent(cookie), path=PATH, key=KEY)
    assert found is not None
    assert found.text.endswith("…")


def test_the_cookie_belongs_to_the_page_and_is_deleted_there() -> None:
    (left,) = SimpleCookie(note_cookie(NOTE, path=PATH, key=KEY, secure=True)).values()
    (deleted,) = SimpleCookie(cleared_cookie(path=PATH, secure=True)).values()
    for morsel in (left, deleted):
        assert (morsel["path"], morsel["httponly"], morsel["secure"], morsel["samesite"]) == (PATH, True, True, "Lax")
    assert (deleted.value, deleted["max-age"]) == ("", "0")


def test_only_an_operation_is_a_task() -> None:
    assert task_in({"id": 4, "kind": "power"}) == 4
    others: tuple[object, ...] = ({"id": 4}, {"kind": "power"}, {"id": "4", "kind": "x"}, [], "text", None)
    for answer in others:
        assert task_in(answer) == 0

"""Marks in texts: what administrators read, what others read, and that nothing else changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.words.hidden_text import (
    MARKS,
    PLACE,
    REASON,
    has_marks,
    hidden,
    masked,
    masked_bytes,
    revealed,
    revealed_bytes,
    with_hidden_places,
)

LETTERS = st.characters(codec="utf-8", exclude_characters=MARKS)
TEXTS = st.text(LETTERS)
SECRETS = st.text(LETTERS, min_size=1).map("secret-{}-end".format)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Cannot connect to hv1.example:8443: refused.", f"Cannot connect to {PLACE}: refused."),
        ("LXD at https://10.1.2.3:8443 keeps '/srv/my vms/x.qcow2'.", f"LXD at {PLACE} keeps '{PLACE}'."),
        ("The volume /var/lib/images/x.qcow2. It is in use.", f"The volume {PLACE}. It is in use."),
        ("fe80::1 is away; 2001:db8::5, [fd00::1]:8443.", f"{PLACE} is away; {PLACE}, {PLACE}."),
        ("qemu+ssh://admin@hv1/system failed", f"{PLACE} failed"),
        (f"It presents {'ab' * 32}.", f"It presents {PLACE}."),
        ("52:54:00:12:34:56 is taken at 02:22 UTC.", None),
        ("PCI 0000:3b:00.1 and/or 50/100 at ratio 1.0: core 0", None),
        ("Shut quick-fox down first, or choose sda.", None),
    ],
)
def test_places_are_hidden_and_other_words_stay(text: str, shown: str | None) -> None:
    assert masked(with_hidden_places(text)) == (shown or text)
    assert revealed(with_hidden_places(text)) == text
    assert with_hidden_places(with_hidden_places(text)) == with_hidden_places(text)


def test_a_hidden_text_ends_as_its_sentence_does() -> None:
    message = f"web-1 was not deployed: {hidden('Cannot connect to hv1.')}"
    assert masked(message) == f"web-1 was not deployed: {REASON}."
    assert revealed(message) == "web-1 was not deployed: Cannot connect to hv1."
    assert (hidden(hidden(message)), hidden(""), hidden("…")) == (hidden(message), "", hidden("…"))


@given(TEXTS, SECRETS, TEXTS)
def test_json_shows_others_only_what_is_around_a_hidden_text(before: str, secret: str, after: str) -> None:
    message = before + hidden(secret) + after
    sent = json.dumps({"message": message, "next": after}).encode()
    assert json.loads(revealed_bytes(sent)) == {"message": before + secret + after, "next": after}
    assert json.loads(masked_bytes(sent)) == {"message": before + REASON + after, "next": after}


@given(TEXTS, SECRETS, st.integers(0, 200), st.booleans())
def test_a_text_that_was_cut_hides_its_rest(before: str, secret: str, length: int, as_ascii: bool) -> None:
    cut = (before + hidden(secret))[: len(before) + 1 + length % len(secret)]
    sent = masked_bytes(json.dumps({"message": cut, "next": 1}, ensure_ascii=as_ascii).encode())
    assert json.loads(sent) == {"message": before + REASON, "next": 1}
    assert masked(cut) == before + REASON


@given(TEXTS, SECRETS)
def test_bytes_are_masked_as_texts_are(before: str, secret: str) -> None:
    for text in (before + hidden(secret) + before, before):
        assert masked_bytes(text.encode()).decode() == masked(text)
        assert revealed_bytes(text.encode()).decode() == revealed(text)
        assert not has_marks(masked(text))

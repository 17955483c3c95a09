"""What becomes of a request with an idempotency key, and how answers are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiond.operations.idempotency.model import MAX_ANSWER_BYTES, KeptAnswer, StoredKey, Verdict, decide

SAME, OTHER = b"same", b"other"


@pytest.mark.parametrize(
    ("stored", "verdict"),
    [
        (None, Verdict.RUN),
        (StoredKey(digest=SAME), Verdict.WAIT),
        (StoredKey(digest=SAME, is_abandoned=True), Verdict.UNKNOWN),
        (StoredKey(digest=SAME, operation_id=7), Verdict.JOIN),
        (StoredKey(digest=SAME, sealed_answer=b""), Verdict.REPLAY),
    ],
)
def test_a_request_runs_only_if_nothing_is_known_of_its_key(stored: StoredKey | None, verdict: Verdict) -> None:
    assert decide(stored, SAME) is verdict


@given(st.none() | st.integers(1), st.none() | st.binary(), st.booleans())
def test_another_request_never_gets_what_came_of_the_first(
    operation_id: int | None, answer: bytes | None, is_abandoned: bool
) -> None:
    stored = StoredKey(digest=OTHER, operation_id=operation_id, sealed_answer=answer, is_abandoned=is_abandoned)
    assert decide(stored, SAME) is Verdict.MISMATCH


TEXTS = st.text(max_size=20)


@given(
    st.integers(200, 299),
    TEXTS,
    st.dictionaries(TEXTS, TEXTS, max_size=3),
    st.none() | st.binary(),
    st.none() | st.integers(1),
)
def test_a_packed_answer_is_unpacked_as_it_was(
    status: int, content_type: str, headers: dict[str, str], body: bytes | None, operation: int | None
) -> None:
    answer = KeptAnswer(status=status, content_type=content_type, headers=headers, body=body, operation_id=operation)
    assert KeptAnswer.unpacked(answer.packed()) == answer


@pytest.mark.parametrize(("length", "is_kept"), [(MAX_ANSWER_BYTES, True), (MAX_ANSWER_BYTES + 1, False)])
def test_a_body_beyond_the_bound_is_not_kept(length: int, is_kept: bool) -> None:
    answer = KeptAnswer(status=200, content_type="text/plain", body=bytes(length)).bounded()
    assert (answer.body is not None) == is_kept

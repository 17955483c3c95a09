"""Repeated rejections are counted, none is lost, and memory is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regiond.audit.model import AuditAnswer, AuditRequest, AuditResult
from regiond.audit.repetitions import Rejection, Repetitions

REJECTED = AuditAnswer(result=AuditResult.REJECTED, status=403)
FLUSH = "flush"


def asked(object_: str) -> AuditRequest:
    return AuditRequest(
        action="Machine.lock", username="ada", credential="key", address="192.0.2.7", request_id="r", object=object_
    )


def counted(entries: list[Rejection], object_: str) -> int:
    return sum(1 + request.not_recorded for request, _ in entries if request.object == object_)


@given(st.lists(st.sampled_from(["m1", "m2", "m3", FLUSH])), st.integers(1, 3))
def test_entries_count_every_rejection(steps: list[str], size: int) -> None:
    repetitions, entries = Repetitions(size=size), list[Rejection]()
    for step in steps:
        entries += repetitions.flush() if step == FLUSH else repetitions.take(asked(step), REJECTED)
    entries += repetitions.flush()
    for object_ in ("m1", "m2", "m3"):
        assert counted(entries, object_) == steps.count(object_)


@given(st.lists(st.sampled_from(["m1", "m2"]), min_size=1))
def test_each_key_has_at_most_two_entries_between_flushes(objects: list[str]) -> None:
    repetitions = Repetitions()
    entries = [entry for one in objects for entry in repetitions.take(asked(one), REJECTED)]
    assert len(entries) == len(set(objects))
    assert len(repetitions.flush()) <= len(set(objects))

"""The question before an action on several hosts names those that are left out."""

from __future__ import annotations

import pytest

from regiond.ui.hosts.bulk_page import ACTIONS, MOST_HOSTS, Selected, bulk_question
from tests.unit.support.host_samples import HOST


@pytest.mark.parametrize(
    ("meant", "gone", "expected"),
    [
        (1, (), None),
        (2, ("alder",), "1 host is no longer there: alder."),
        (3, ("alder", "host 7"), "2 hosts are no longer there: alder, host 7."),
        (MOST_HOSTS + 1, (), f"{MOST_HOSTS + 1} hosts were selected; one request changes at most {MOST_HOSTS}."),
    ],
)
def test_hosts_that_are_left_out_are_counted_with_the_reason(
    meant: int, gone: tuple[str, ...], expected: str | None
) -> None:
    question = bulk_question("close", ACTIONS["close"], Selected(hosts=[HOST], meant=meant, gone=gone), ())
    assert question.effects[0] == (expected or ACTIONS["close"].effect)
    assert question.effects[-1] == ACTIONS["close"].effect

"""An operation stores the id of its request, and its span if the request was traced."""

from __future__ import annotations

import pytest
from structlog.contextvars import bound_contextvars, clear_contextvars

from regiond.operations.origin import Origin, current_origin

SPAN = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


@pytest.mark.parametrize(
    ("origin", "stored"),
    [
        (Origin(), None),
        (Origin(request_id="a-1"), "a-1"),
        (Origin(request_id="a-1", traceparent=SPAN), f"a-1 {SPAN}"),
        (Origin(traceparent=SPAN), f" {SPAN}"),
    ],
)
def test_an_origin_is_read_as_it_was_stored(origin: Origin, stored: str | None) -> None:
    assert origin.stored == stored
    assert Origin.read(stored) == origin


def test_without_traces_only_the_id_is_stored() -> None:
    clear_contextvars()
    assert current_origin() is None
    with bound_contextvars(request_id="a-1"):
        assert current_origin() == "a-1"

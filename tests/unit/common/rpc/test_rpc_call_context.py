"""The ids that calls carry for the log: a peer may set only some of them, and only in a fixed form."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from structlog.contextvars import bound_contextvars, clear_contextvars

from common.rpc.call_context import accepted_context, current_context
from common.rpc.frames import Call, encode
from common.trust.certificates import Role


def test_a_call_carries_the_bound_ids_and_a_new_one() -> None:
    clear_contextvars()
    with bound_contextvars(request_id="a-1", operation=7, attempt=2, peer="rack north", host="elm"):
        first, second = current_context(), current_context()
    assert {**first, "call_id": "c"} == {"request_id": "a-1", "operation": 7, "attempt": 2, "call_id": "c"}
    assert first["call_id"] != second["call_id"]


def test_a_frame_without_ids_is_as_older_peers_send_it() -> None:
    assert "context" not in msgpack.unpackb(encode(Call(id=1, method="m", left_ms=1)))


def test_a_region_sets_all_ids_and_others_only_two() -> None:
    sent = {"request_id": "a", "call_id": "c", "operation": 7, "attempt": 1, "level": "error", "event": "lie"}
    assert accepted_context(Role.REGION, sent) == {"request_id": "a", "call_id": "c", "operation": 7, "attempt": 1}
    assert accepted_context(Role.RACK, sent) == {"request_id": "a", "call_id": "c"}


@pytest.mark.parametrize("value", ["", "a b", "a\n", "x" * 65, -1, 2**63, True, 1.5, None, ["a"], {"a": 1}])
def test_an_id_of_another_form_is_ignored(value: Any) -> None:
    assert accepted_context(Role.RACK, {"request_id": value, "call_id": "c"}) == {"call_id": "c"}


def test_a_call_of_an_rpc_client_always_has_a_request_id() -> None:
    first, second = accepted_context(Role.CLIENT, {}), accepted_context(Role.CLIENT, {"request_id": "a b"})
    assert first["request_id"] != second["request_id"]
    assert accepted_context(Role.CLIENT, {"request_id": "mine"}) == {"request_id": "mine"}

"""What a peer responds, as the caller receives it: errors of racks are bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import (
    Busy,
    DatabaseUnavailable,
    DriverFailed,
    HostUnreachable,
    InnkeeperError,
    LinkLost,
    NotFound,
    NotTrusted,
    OutOfCapacity,
    PeerChanged,
    ServerUnconfirmed,
    Unsupported,
    WrongState,
)
from common.rpc.commands.host_commands import HOST_REACH
from common.rpc.peers import Peer
from common.rpc.response_checks import DEEPEST, MOST_CHARS, MOST_ITEMS, bounded, checked_error
from common.trust.certificates import Role
from common.words.hidden_text import MARKS, masked, revealed

RACK = Peer(role=Role.RACK, name="east")
REGION = Peer(role=Role.REGION, name="region")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, inner), default=0) if isinstance(value, dict | list) else 0


@pytest.mark.slow
@given(st.dictionaries(st.text(), ANYTHING))
def test_details_of_any_kind_become_json_that_can_be_stored(details: dict[str, Any]) -> None:
    found = bounded(details)
    text = json.dumps(found, allow_nan=False)
    assert "\\u0000" not in text
    assert depth_of(found) <= DEEPEST


def test_details_are_cut_to_a_size_that_is_worth_storing() -> None:
    found = bounded({"reason": "x" * 10**6, "failures": ["y"] * 10**4})
    assert (len(found["reason"]), len(found["failures"])) == (MOST_CHARS, MOST_ITEMS)


def test_details_that_a_driver_sends_are_not_changed() -> None:
    details = {"pinned": "ab", "calls": 7, "fields": {"name": ["It is taken."]}, "nothing_began": True, "at": None}
    assert bounded(details) == details


def test_an_error_of_a_rack_has_no_text_that_cannot_be_stored() -> None:
    error = checked_error(RACK, HOST_REACH, NotTrusted("no\0pe", reason="\0"))
    assert (type(error), revealed(error.message), error.details) == (NotTrusted, "nope", {"reason": ""})


def test_the_message_of_a_rack_is_cut_too() -> None:
    assert len(revealed(checked_error(RACK, HOST_REACH, NotTrusted("x" * 10**6)).message)) == MOST_CHARS


@pytest.mark.parametrize("kind", [DriverFailed, HostUnreachable, LinkLost, NotTrusted, PeerChanged, ServerUnconfirmed])
def test_what_a_server_says_is_for_administrators(kind: type[InnkeeperError]) -> None:
    error = checked_error(RACK, HOST_REACH, kind("LXD at https://hv1:8443: no space left."))
    assert masked(error.message) == "Administrators see the reason."
    assert revealed(error.message) == "LXD at https://hv1:8443: no space left."


@pytest.mark.parametrize("kind", [WrongState, Unsupported, OutOfCapacity, NotFound, Busy])
def test_a_refusal_in_our_words_hides_only_places(kind: type[InnkeeperError]) -> None:
    error = checked_error(RACK, HOST_REACH, kind("LXD at https://hv1:8443 cannot grow sda while web-1 runs. Stop it."))
    assert masked(error.message) == "LXD at [hidden] cannot grow sda while web-1 runs. Stop it."


def test_a_rack_cannot_end_a_mark() -> None:
    error = checked_error(RACK, HOST_REACH, DriverFailed(f"no {MARKS}secret{MARKS} more"))
    assert masked(error.message) == "Administrators see the reason"


def test_an_error_that_a_rack_cannot_have_is_rejected() -> None:
    error = checked_error(RACK, HOST_REACH, DatabaseUnavailable("lost"))
    assert error.code == "response_rejected"
    assert "database_unavailable" in error.message


def test_an_error_of_the_region_is_passed_on_unchanged() -> None:
    error: InnkeeperError = DriverFailed("no", failures=["y"] * 100)
    assert checked_error(REGION, HOST_REACH, error) is error
    assert len(error.details["failures"]) == 100

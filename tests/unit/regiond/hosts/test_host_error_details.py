"""The facts of a host's error: only valid ones count, whatever a rack or host sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import HostUnreachable, InnkeeperError, NotTrusted, PeerChanged, ServerUnconfirmed
from regiond.hosts.error_details import (
    Confirmation,
    ErrorDetails,
    Secret,
    TrustProblem,
    details_of,
    of_column,
    to_column,
    without_facts_of_the_region,
)

OLD, NEW = "ab" * 32, "cd" * 32
KEY = "SHA256:" + "a" * 43
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(OLD) | st.just(KEY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    (
        "pinned", "trusted", "offered", "presented", "expected", "known", "reported", "host", "unsent", "rejected",
        "named_by", "reason", "public_key",
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotTrusted("It says no.", reason="no certificate"), TrustProblem.NOT_TRUSTED),
        (NotTrusted("It says no.", reason="used", rejected="token"), TrustProblem.SECRET_REJECTED),
        (NotTrusted("It says no.", offered=NEW, unsent="password"), TrustProblem.PASSWORD_NOT_SENT),
        (NotTrusted("It says no.", public_key="ssh-ed25519 AAAA"), TrustProblem.KEY_REJECTED),
        (NotTrusted("The key is encrypted."), None),
        (PeerChanged("Another one.", pinned=OLD, presented=NEW), TrustProblem.IDENTITY_CHANGED),
        (PeerChanged("Another one.", trusted=KEY, offered=KEY), TrustProblem.IDENTITY_CHANGED),
        (PeerChanged("Another one.", expected=OLD, presented=NEW), TrustProblem.IDENTITY_UNEXPECTED),
        (
            PeerChanged("Another one.", expected=OLD, presented=NEW, named_by="token"),
            TrustProblem.TOKEN_OF_OTHER_SERVER,
        ),
        (PeerChanged("Another server.", known="lxd/a", reported="lxd/b"), TrustProblem.SERVER_CHANGED),
        (PeerChanged("Another name."), None),
        (ServerUnconfirmed("Whose?", reported="virsh/a", host=7), TrustProblem.SERVER_UNCONFIRMED),
        (ServerUnconfirmed("Whose?"), None),
        (HostUnreachable("It is off.", reason="refused", offered=NEW), None),
    ],
)
def test_the_kind_of_an_error_follows_from_its_facts(error: InnkeeperError, kind: TrustProblem | None) -> None:
    assert details_of(error).kind is kind


@pytest.mark.parametrize(
    ("error", "confirmation"),
    [
        (PeerChanged("", pinned=OLD, offered=NEW), Confirmation(op="trust", field="fingerprint", value=NEW)),
        (NotTrusted("", offered=NEW, unsent="password"), Confirmation(op="trust", field="fingerprint", value=NEW)),
        (PeerChanged("", reported="lxd/b"), Confirmation(op="confirm_server", field="identity", value="lxd/b")),
        (ServerUnconfirmed("", reported="a", host=7), Confirmation(op="confirm_server", field="host", value="7")),
        (NotTrusted("", reason="no"), None),
        (PeerChanged("", expected=OLD, presented=NEW, named_by="token"), None),
    ],
)
def test_what_can_be_confirmed_is_a_call_of_the_host(error: InnkeeperError, confirmation: Confirmation | None) -> None:
    assert details_of(error).confirmation == confirmation


@given(st.dictionaries(NAMES, ANYTHING), st.sampled_from([NotTrusted, PeerChanged, ServerUnconfirmed, HostUnreachable]))
def test_anything_that_is_sent_becomes_valid_facts(facts: dict[str, Any], kind: type[InnkeeperError]) -> None:
    found = details_of(kind("Sent by a rack.", **facts))
    for one in (found.pinned, found.offered, found.expected):
        assert one in (None, OLD, KEY)
    for text in (found.known, found.reported, found.reason):
        assert text is None or (text.isprintable() and 0 < len(text) <= 1000)
    assert of_column(to_column(found)) == found


def test_a_rack_cannot_state_what_only_the_region_knows() -> None:
    sent = {"reported": "lxd/any", "host": 1, "rejected": "token", "unsent": "password", "known": "a", "pinned": OLD}
    assert without_facts_of_the_region(sent) == {"pinned": OLD}


def test_details_of_a_newer_release_are_as_unknown_as_none() -> None:
    assert of_column({"kind": "moved_to_the_moon"}) is None
    assert of_column(None) is None
    assert of_column({}) == ErrorDetails()


def test_a_rejected_secret_is_named() -> None:
    assert details_of(NotTrusted("", reason="no", rejected="password")).secret is Secret.PASSWORD

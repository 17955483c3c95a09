"""Addresses of LXD servers have one normalised text; others are rejected with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses.lxd import parse
from common.errors import InvalidRequest


@pytest.mark.parametrize(
    ("typed", "normalised"),
    [
        ("lxd1", "https://lxd1:8443"),
        ("LXD1.Example.com", "https://lxd1.example.com:8443"),
        ("10.0.0.5:9443", "https://10.0.0.5:9443"),
        ("https://10.0.0.5", "https://10.0.0.5:8443"),
        ("https://10.0.0.5:8443/", "https://10.0.0.5:8443"),
        ("HTTPS://lxd1:8443", "https://lxd1:8443"),
        ("[2001:DB8::1]", "https://[2001:db8::1]:8443"),
        ("https://[2001:db8:0::1]:7443", "https://[2001:db8::1]:7443"),
    ],
)
def test_equivalent_addresses_normalise_to_one(typed: str, normalised: str) -> None:
    assert parse(typed).normalised == normalised
    assert parse(normalised) == parse(typed)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "no host"),
        ("http://lxd1", "HTTPS"),
        ("lxd1/1.0", "path"),
        ("https://lxd1:8443/1.0", "path"),
        ("lxd1?project=x", "query"),
        ("lxd1#x", "fragment"),
        ("root@lxd1", "user"),
        ("https://root:secret@lxd1", "user"),
        ("lxd1:", "not an LXD address"),
        ("lxd1:0", "65535"),
        ("lxd1:65536", "65535"),
        ("lxd1:port", "not an LXD address"),
        ("2001:db8::1", "brackets"),
        ("[2001:db8::1%eth0]", "valid IP"),
        ("[nonsense]", "valid IP"),
        ("10.0.0.256", "valid IP"),
        ("-lxd1", "valid host name"),
        ("lxd one", "no spaces"),
        ("lxd1\n", "no spaces"),
    ],
)
def test_other_addresses_are_rejected_with_the_reason(typed: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as caught:
        parse(typed)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_rejected(typed: str) -> None:
    try:
        found = parse(typed)
    except InvalidRequest:
        return
    assert parse(found.normalised) == found

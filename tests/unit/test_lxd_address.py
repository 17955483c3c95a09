"""Addresses of LXD servers: one text for one place, and a reason for whatever is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from common.lxd_address import parse


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
def test_every_way_to_write_a_place_becomes_one(typed: str, normalised: str) -> None:
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
        ("lxd one", "blanks"),
        ("lxd1\n", "blanks"),
    ],
)
def test_anything_else_is_refused_with_the_reason(typed: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as refused:
        parse(typed)
    assert "secret" not in str(refused.value)


@given(st.text(max_size=40))
def test_no_text_does_anything_but_parse_or_be_refused(typed: str) -> None:
    try:
        found = parse(typed)
    except InvalidRequest:
        return
    assert parse(found.normalised) == found

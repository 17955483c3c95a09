"""OAuth signatures as five clients write them."""

from __future__ import annotations

import oauthlib.oauth1
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import NotAuthenticated
from regiond.api.pipeline.authentication import MAX_HEADER_BYTES, NonceWindow, read_signature
from regiond.api.pipeline.signed_request import Signature

GOMAASAPI = (
    'OAuth realm="MAAS+API", oauth_token="tk", oauth_nonce="a1", oauth_timestamp="1800000000", '
    'oauth_signature_method="PLAINTEXT", oauth_signature="%26ts", oauth_consumer_key="ck", oauth_version="1.0"'
)
ANSIBLE = (
    "OAuth oauth_version=1.0, oauth_signature_method=PLAINTEXT, oauth_consumer_key=ck, oauth_token=tk, "
    "oauth_signature=%26ts, oauth_nonce=a1, oauth_timestamp=1800000000"
)
EXPECTED = Signature(consumer_key="ck", token_key="tk", token_secret="ts", timestamp_s=1_800_000_000, nonce="a1")  # noqa: S106  # a sample
PLAIN = [
    ("oauth_consumer_key", "ck"),
    ("oauth_token", "tk"),
    ("oauth_signature", "&ts"),
    ("oauth_signature_method", "PLAINTEXT"),
    ("oauth_timestamp", "1800000000"),
    ("oauth_nonce", "a1"),
]


@pytest.mark.parametrize(
    "header",
    [
        GOMAASAPI,
        ANSIBLE,
        GOMAASAPI.replace(", ", ","),
        GOMAASAPI.replace("OAuth realm", "oauth   realm"),
        ANSIBLE.replace("%26", "&"),
    ],
)
def test_the_signature_of_every_client_is_parsed(header: str) -> None:
    assert read_signature(header, []) == EXPECTED


def test_signatures_of_oauthlib_are_parsed() -> None:
    client = oauthlib.oauth1.Client(
        "ck", resource_owner_key="tk", resource_owner_secret="t/s", client_secret="", signature_method="PLAINTEXT",  # noqa: S106  # a sample
        nonce="a1", timestamp="1800000000",
    )  # fmt: skip
    _, headers, _ = client.sign("http://region/MAAS/api/2.0/version/")
    found = read_signature(headers["Authorization"], [])
    assert found is not None
    assert (found.consumer_key, found.token_key, found.token_secret) == ("ck", "tk", "t/s")


def test_the_signature_may_be_in_the_query_or_the_form() -> None:
    assert read_signature(None, PLAIN) == EXPECTED
    assert read_signature("Basic abc", PLAIN) == EXPECTED


@pytest.mark.parametrize("left_out", range(len(PLAIN)))
def test_a_request_that_lacks_a_parameter_is_unsigned(left_out: int) -> None:
    assert read_signature(None, PLAIN[:left_out] + PLAIN[left_out + 1 :]) is None


@pytest.mark.parametrize("header", [None, "", "OAuth", "OAuth ", "Bearer x", 'OAuth realm="x"'])
def test_without_a_signature_the_result_is_none(header: str | None) -> None:
    assert read_signature(header, []) is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("oauth_signature_method", "RSA-SHA1", "RSA-SHA1"),
        ("oauth_timestamp", "yesterday", "Invalid timestamp"),
        ("oauth_timestamp", "-5", "Invalid timestamp"),
        ("oauth_signature", "ts", "Invalid API key"),
        ("oauth_signature", "secret&ts", "Invalid API key"),
    ],
)
def test_signatures_that_no_api_key_can_make_are_rejected(name: str, value: str, expected: str) -> None:
    with pytest.raises(NotAuthenticated, match=expected) as caught:
        read_signature(None, [*PLAIN, (name, value)])
    assert caught.value.message.startswith("Authorization Error: ")


@given(st.text())
def test_any_header_is_parsed_or_rejected(header: str) -> None:
    try:
        read_signature(header, [])
        read_signature("OAuth " + header, [])
    except NotAuthenticated:
        pass


def test_a_header_over_60_kib_is_rejected_before_it_is_parsed() -> None:
    padding = ', x="' + "a" * (MAX_HEADER_BYTES - len(GOMAASAPI) - 6) + '"'
    assert read_signature(GOMAASAPI + padding, []) == EXPECTED
    with pytest.raises(NotAuthenticated, match="longer than 61440 bytes"):
        read_signature(GOMAASAPI + padding + " ", [])


def test_a_field_in_the_header_is_no_part_of_the_signature() -> None:
    assert read_signature(f'{GOMAASAPI}, token="other", nonce="other"', []) == EXPECTED


def signature(nonce: str = "n", timestamp_s: int = 1000, of: str = "tk") -> Signature:
    return Signature(consumer_key="ck", token_key=of, token_secret="", timestamp_s=timestamp_s, nonce=nonce)


def test_old_timestamps_are_rejected_and_future_ones_accepted() -> None:
    window = NonceWindow()
    window.check_age(signature(timestamp_s=1000), 1300)
    window.check_age(signature(timestamp_s=9000), 1300)
    with pytest.raises(NotAuthenticated, match="Expired timestamp"):
        window.check_age(signature(timestamp_s=1000), 1301)


def test_a_nonce_is_accepted_once_per_key() -> None:
    window = NonceWindow()
    window.use(signature(), 1000)
    window.use(signature(nonce="other"), 1000)
    window.use(signature(of="other"), 1000)
    with pytest.raises(NotAuthenticated, match="Nonce already used: n"):
        window.use(signature(), 1001)


def test_expired_nonces_are_dropped_and_memory_is_bounded() -> None:
    window = NonceWindow(max_nonces=10)
    window.use(signature(), 1000)
    window.use(signature(), 1301)  # its timestamp is rejected by then
    for number in range(100):
        window.use(signature(nonce=str(number)), 1301)
    assert len(window) <= 10
    with pytest.raises(NotAuthenticated):
        window.use(signature(nonce="99"), 1301)

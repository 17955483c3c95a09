"""The sender of a request behind proxies."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses.ip_networks import IpNetworks
from regiond.api.http.forwarding import ProxyHeaders, Sender, TrustedProxies

PROXY, SECOND_PROXY, CLIENT = "10.0.0.1", "10.0.0.2", "192.0.2.9"
X = TrustedProxies(networks=IpNetworks.parse(("10.0.0.0/24",)))
RFC = TrustedProxies(networks=X.networks, headers=ProxyHeaders.FORWARDED)


def sender(proxies: TrustedProxies, peer: str = PROXY, **headers: str | Sequence[str]) -> Sender:
    lines: Mapping[str, str | Sequence[str]] = {name.replace("_", "-"): value for name, value in headers.items()}

    def read(name: str) -> Sequence[str]:
        found = lines.get(name, [])
        return [found] if isinstance(found, str) else found

    return proxies.sender(Sender(address=peer, scheme="http", host="region:5240"), read)


def test_headers_of_others_are_ignored() -> None:
    forged = sender(X, CLIENT, X_Forwarded_For="1.2.3.4", X_Forwarded_Proto="https", X_Forwarded_Host="evil")
    assert forged == Sender(address=CLIENT, scheme="http", host="region:5240")


def test_a_trusted_proxy_names_the_client_and_the_url() -> None:
    found = sender(X, X_Forwarded_For=CLIENT, X_Forwarded_Proto="https", X_Forwarded_Host="region.example.net")
    assert found == Sender(address=CLIENT, scheme="https", host="region.example.net")
    assert found.origin == "https://region.example.net"


@pytest.mark.parametrize(
    "lines",
    [
        "6.6.6.6, 192.0.2.9",
        ["6.6.6.6", "192.0.2.9"],
        "6.6.6.6, 192.0.2.9, 10.0.0.2",
        "192.0.2.9:51234",
        "::ffff:192.0.2.9",
    ],
)
def test_what_a_client_adds_itself_is_not_believed(lines: str | Sequence[str]) -> None:
    assert sender(X, X_Forwarded_For=lines).address.removeprefix("::ffff:") == CLIENT


def test_a_proxy_that_names_nobody_is_the_sender() -> None:
    for text in ("", "unknown", "_hidden", "1.2.3.4, unknown", "fe80::1%" + "a" * 99):
        assert sender(X, X_Forwarded_For=text).address == PROXY


def test_an_ipv6_client_is_found_with_and_without_port() -> None:
    for text in ("2001:db8::9", "[2001:db8::9]", "[2001:db8::9]:443"):
        assert sender(X, X_Forwarded_For=text).address == "2001:db8::9"


def test_the_other_header_is_not_read() -> None:
    assert sender(X, Forwarded="for=6.6.6.6").address == PROXY
    assert sender(RFC, X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="https").scheme == "http"


def test_rfc_7239_names_client_scheme_and_host() -> None:
    found = sender(RFC, Forwarded='for=6.6.6.6, for="[2001:db8::9]:4711";proto=https;host="r.example:8443";by=_x')
    assert found == Sender(address="2001:db8::9", scheme="https", host="r.example:8443")


def test_each_trusted_proxy_of_rfc_7239_reports_the_one_before() -> None:
    found = sender(RFC, Forwarded=[f"for={CLIENT};proto=https;host=r.example", f"for={SECOND_PROXY};proto=http"])
    assert found == Sender(address=CLIENT, scheme="https", host="r.example")


@pytest.mark.parametrize(
    "start", ['for=6.6.6.6;a="', 'for=6.6.6.6, a="', 'for="6.6.6.6', "for=6.6.6.6;;=", 'for=6.6.6.6;a="\\"']
)
@pytest.mark.parametrize("appended", [f"for={CLIENT}", 'for="[2001:db8::9]"'])
def test_an_open_quotation_hides_no_forged_address(start: str, appended: str) -> None:
    assert sender(RFC, Forwarded=f"{start}, {appended}").address in {PROXY, CLIENT, "2001:db8::9"}


def test_an_invalid_host_or_scheme_is_ignored() -> None:
    found = sender(X, X_Forwarded_For=CLIENT, X_Forwarded_Proto="javascript", X_Forwarded_Host="a/../b")
    assert found.origin == "http://region:5240"


@given(text=st.text(alphabet='for=proto;,"[]: \\.1269ab', max_size=200), header=st.sampled_from(("X", "F")))
def test_any_header_names_an_address_or_the_proxy(text: str, header: str) -> None:
    found = sender(X, X_Forwarded_For=text) if header == "X" else sender(RFC, Forwarded=text)
    assert found.address
    assert found.scheme in {"http", "https"}


@given(prefix=st.text(alphabet='for=;,"[]: \\.16', max_size=60))
def test_no_prefix_makes_another_address_the_sender(prefix: str) -> None:
    assert sender(X, X_Forwarded_For=f"{prefix},{CLIENT}").address == CLIENT
    assert sender(RFC, Forwarded=f"{prefix},for={CLIENT}").address in {CLIENT, PROXY}
    assert sender(RFC, Forwarded=f'{prefix}, for="[2001:db8::9]"').address in {"2001:db8::9", PROXY}


@pytest.mark.parametrize("unit", ["a", " ", "a=", '"', 'a="', "for=1,", ",", "for=1;"])
def test_a_long_header_takes_linear_time(unit: str) -> None:
    began_at = time.process_time()
    sender(RFC, Forwarded=unit * 100_000)
    sender(X, X_Forwarded_For=unit * 100_000)
    assert time.process_time() - began_at < 10.0  # it takes 0.1 s; in quadratic time, minutes


def test_of_many_elements_only_those_that_can_be_of_proxies_are_kept() -> None:
    header = "for=192.0.2.1;host=h," * 10_000 + f"for={CLIENT}"
    tracemalloc.start()
    try:
        assert sender(RFC, Forwarded=header).address == CLIENT
        assert tracemalloc.get_traced_memory()[1] < 3 * len(header)
    finally:
        tracemalloc.stop()

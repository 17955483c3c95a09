"""The address and the key of a MAAS as people type them."""

from __future__ import annotations

import pytest

from common.errors import InvalidRequest
from regiond.maas.access import maas_access
from tests.support.certificate_pairs import make_pair

KEY = "consumer:token:secret"


@pytest.mark.parametrize(
    ("typed", "base"),
    [
        ("http://maas.test:5240/MAAS", "http://maas.test:5240/MAAS/api/2.0/"),
        ("http://maas.test:5240/MAAS/", "http://maas.test:5240/MAAS/api/2.0/"),
        (" http://maas.test:5240 ", "http://maas.test:5240/MAAS/api/2.0/"),
        ("https://maas.test/MAAS/api/2.0/", "https://maas.test/MAAS/api/2.0/"),
        ("https://maas.test/MAAS/api/2.0", "https://maas.test/MAAS/api/2.0/"),
        ("https://maas.test/MAAS/r/machines", "https://maas.test/MAAS/api/2.0/"),
        ("https://maas.test/lab one/MAAS", "https://maas.test/lab%20one/MAAS/api/2.0/"),
        ("http://[2001:db8::1]:5240/MAAS", "http://[2001:db8::1]:5240/MAAS/api/2.0/"),
        ("http://bücher.test/MAAS", "http://xn--bcher-kva.test/MAAS/api/2.0/"),
    ],
)
def test_addresses_are_understood_as_people_type_them(typed: str, base: str) -> None:
    access = maas_access(typed, KEY)
    assert access.url == base
    assert access.label + "/api/2.0/" == base


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("maas.test:5240", "Example: http://maas.example.com:5240/MAAS"),
        ("ftp://maas.test/MAAS", "is no address of a MAAS"),
        ("http:///MAAS", "is no address of a MAAS"),
        ("http://maas_one.test/MAAS", "is no address of a MAAS"),
        ("http://maas.test:70000/MAAS", "is no address of a MAAS"),
        ("http://maas.test/MAAS?op=x", "is no address of a MAAS"),
        ("http://admin:wonderland@maas.test/MAAS?a=b", "takes an API key instead"),
        (f"http://maas.test/{'a' * 1000}", "at most 1000 printable characters"),
        ("http://maas.test/\x00", "printable characters"),
    ],
)
def test_other_addresses_are_refused_with_an_example(typed: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        maas_access(typed, KEY)
    assert message in raised.value.fields["url"][0]
    assert "wonderland" not in raised.value.message


@pytest.mark.parametrize("key", ["", "one:two", "a:b:c:d", "a::c", "a:b:ü", f"a:b:{'c' * 300}"])
def test_a_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        maas_access("http://maas.test/MAAS", key)
    assert "consumer:token:secret" in raised.value.fields["key"][0]
    assert not key or key not in raised.value.message


def test_the_key_is_not_shown() -> None:
    access = maas_access("http://maas.test/MAAS", "consumer:token-part:secret-part")
    assert "secret-part" not in repr(access)
    assert "token-part" not in repr(access)


def test_a_certificate_is_trusted_by_authority_or_fingerprint() -> None:
    pair = make_pair()
    pem = pair.certificate_pem.decode()
    url = "https://maas.test/MAAS"
    assert maas_access(url, KEY, authority_pem=pem).trust.authority_pem == pem
    colons = ":".join(pair.fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
    assert maas_access(url, KEY, fingerprint=colons).trust.fingerprint == pair.fingerprint
    for values, field, message in (
        ({"authority_pem": "no PEM"}, "ca", "no certificate in PEM form"),
        ({"fingerprint": "abc"}, "fingerprint", "64 hexadecimal digits"),
        ({"fingerprint": colons, "authority_pem": pem}, "fingerprint", "not both"),
    ):
        with pytest.raises(InvalidRequest) as raised:
            maas_access(url, KEY, **values)
        assert message in raised.value.fields[field][0]
    with pytest.raises(InvalidRequest, match="for https only"):
        maas_access("http://maas.test/MAAS", KEY, authority_pem=pem)

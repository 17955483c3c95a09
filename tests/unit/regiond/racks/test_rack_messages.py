"""Why no rack reaches a host, and what a rack is told before it may have credentials."""

from __future__ import annotations

from uuid import UUID

import pytest

from common.rpc.commands.host_commands import HostCall, TrustCall
from common.values import DriverType, HostAccess
from regiond.racks.calls.access_guard import sent_credentials, without_secrets
from regiond.racks.unreachable import ZoneCoverage, unreachable_message
from tests.unit.regiond.credentials.test_key_pairs import small_pair

ACCESS = HostAccess(host_id=1, driver=DriverType.LXD, address="lxd1", installation_id=UUID(int=1), pinned="pinned")
TOKEN = "eyJmaW5nZXJwcmludCI6ICJhYiIsICJzZWNyZXQiOiAicyJ9"  # noqa: S105  # {"fingerprint": "ab", "secret": "s"}


def test_a_zone_that_no_rack_serves_is_named_with_the_zones_of_each_rack() -> None:
    coverage = ZoneCoverage(host="hv-01", zone="west", served=False, others=(("a", ("x", "y")), ("b", ("z",))))
    text = unreachable_message(7, 2, (), {}, coverage)
    assert "No rack serves zone west; racks: a (zones x, y), b (zone z)." in text
    assert "innkeeper rack update" in text


def test_many_racks_are_counted() -> None:
    others = tuple((f"rack-{number}", ("x",)) for number in range(13))
    assert "rack-9 (zone x) and 3 more" in str(ZoneCoverage(host="hv-01", zone="west", served=False, others=others))


def test_racks_that_do_not_serve_the_zone_are_named_beside_those_that_do() -> None:
    text = unreachable_message(
        7, 2, (), {}, ZoneCoverage(host="hv-01", zone="west", served=True, others=(("a", ("x",)),))
    )
    assert text.startswith("No connected rack reaches host hv-01 (2 racks are connected to this region).")
    assert "do not serve its zone west: a (zone x)." in text
    assert "zone" not in unreachable_message(7, 2, (), {}, ZoneCoverage(host="hv-01", zone="west", served=True))


def test_a_host_that_was_just_removed_has_only_its_id() -> None:
    assert unreachable_message(7, 1, (), {}, None).startswith("No connected rack reaches host 7 (1 rack is connected")


def test_the_address_alone_has_no_secret_and_no_pinned_identity() -> None:
    pair = small_pair()
    given = HostAccess(
        host_id=1, driver=DriverType.LXD, address="lxd1", installation_id=UUID(int=1), pinned="pinned",
        credentials={"certificate": pair.certificate_pem, "key": pair.key_pem},
    )  # fmt: skip
    bare = without_secrets(given)
    assert (bare.credentials, bare.pinned, bare.address) == ({}, None, "lxd1")
    (sent,) = sent_credentials(HostCall(access=given))
    assert (sent.name, sent.fingerprint) == ("key_pair", pair.fingerprint)
    assert sent_credentials(HostCall(access=bare)) == ()


@pytest.mark.parametrize(("secret", "names"), [(TOKEN, []), ("a password", ["trust_password"]), (None, [])])
def test_a_trust_password_is_recorded_and_a_token_is_not(secret: str | None, names: list[str]) -> None:
    call = TrustCall(access=ACCESS, certificate_pem="", name="innkeeper", secret=secret)
    assert [one.name for one in sent_credentials(call)] == names

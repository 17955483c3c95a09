"""Who is not believed: certificates that lack a name, serve another use, or have expired, from either end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from common.certificates import Credentials, Role, Subject, load_certificate, utc_now
from common.errors import NotTrusted
from common.rpc.tls import RegionTls
from regiond.racks import listener
from regiond.racks.authority import Authority
from tests.integration.linked import Region, dial, make_region, newcomer
from tests.integration.odd_certificates import odd_certificate
from tests.waiting import eventually, settle

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def odd(
    authority: Authority,
    *,
    names: Sequence[str] = (),
    usages: Sequence[x509.ObjectIdentifier] = (),
    lifetime: timedelta = timedelta(days=1),
) -> Credentials:
    key_pem, certificate_pem = odd_certificate(
        authority._key_pem, authority.certificate_pem, names=names, usages=usages, now=utc_now(), lifetime=lifetime
    )
    return Credentials(key_pem=key_pem, certificate_pem=certificate_pem, authority_pem=authority.certificate_pem)


MakeRegion = Callable[[Callable[[Authority], RegionTls]], Region]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeRegion]:
    made: list[Region] = []

    def make_one(tls: Callable[[Authority], RegionTls]) -> Region:
        made.append(make_region(tmp_path / "authority", tls))
        return made[-1]

    yield make_one
    for region in made:
        settle(region.listener.stop())


@pytest.fixture
def region(make: MakeRegion) -> Region:
    return make(lambda authority: authority.region_tls("region-one", "region"))


async def test_a_rack_without_a_name_in_its_certificate_is_refused(region: Region) -> None:
    with pytest.raises(NotTrusted):
        await dial(region, odd(region.authority, usages=[CLIENT]))
    assert region.links == []


async def test_a_rack_without_a_key_usage_is_refused(region: Region) -> None:
    with pytest.raises(NotTrusted):
        await dial(region, odd(region.authority, names=["x.rack.innkeeper.internal"]))
    assert region.links == []


async def test_a_regions_certificate_does_not_open_the_door_as_a_caller(region: Region) -> None:
    subject = Subject(role=Role.REGION, id="x", name="x")
    with pytest.raises(NotTrusted):
        await dial(region, region.authority.credentials_for(subject, timedelta(days=1)))
    both = odd(region.authority, names=["x.region.innkeeper.internal"], usages=[SERVER, CLIENT])
    with pytest.raises(NotTrusted):
        await dial(region, both)
    assert region.links == []


async def test_a_rack_with_an_expired_certificate_is_refused_and_told(region: Region) -> None:
    expired = odd(
        region.authority, names=["x.rack.innkeeper.internal"], usages=[CLIENT], lifetime=timedelta(minutes=-1)
    )
    with pytest.raises(NotTrusted, match="expired"):
        await dial(region, expired)


async def test_a_link_ends_when_the_certificate_it_was_made_with_expires(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifetime = timedelta(hours=1)
    good = odd(region.authority, names=["x.rack.innkeeper.internal"], usages=[CLIENT], lifetime=lifetime)
    ends_at = load_certificate(good.certificate_pem).not_valid_after_utc
    # To the listener it has three seconds left, to OpenSSL, whose clock nobody can move, as good as an hour.
    monkeypatch.setattr(listener, "utc_now", lambda: ends_at - timedelta(seconds=3))
    rack = await dial(region, good)
    assert "expired" in (await rack.link.closed()).message


@pytest.mark.parametrize(
    ("names", "usages"),
    [
        ([], [SERVER]),
        (["x.region.innkeeper.internal"], []),
        (["x.rack.innkeeper.internal"], [CLIENT]),
        (["x.rack.innkeeper.internal"], [SERVER]),
        (["x.region.innkeeper.internal"], [SERVER, CLIENT]),
    ],
    ids=["no name", "no use", "a rack", "a rack for servers", "two uses"],
)
async def test_a_region_with_another_certificate_of_our_authority_is_refused_by_racks_and_newcomers(
    make: MakeRegion, names: list[str], usages: list[x509.ObjectIdentifier]
) -> None:
    region = make(lambda authority: RegionTls(lambda: odd(authority, names=names, usages=usages)))
    with pytest.raises(NotTrusted):
        await dial(region)
    with pytest.raises(NotTrusted):
        await newcomer(region)
    assert region.links == []


async def test_an_expired_region_is_refused_by_racks_and_newcomers(make: MakeRegion) -> None:
    def expired(authority: Authority) -> Credentials:
        names, lifetime = ["x.region.innkeeper.internal"], timedelta(minutes=-1)
        return odd(authority, names=names, usages=[SERVER], lifetime=lifetime)

    region = make(lambda authority: RegionTls(lambda: expired(authority)))
    with pytest.raises(NotTrusted, match="expired"):
        await dial(region)
    with pytest.raises(NotTrusted, match="valid from"):
        await newcomer(region)


async def test_the_regions_certificate_is_made_anew_before_it_expires(make: MakeRegion) -> None:
    now = [utc_now()]
    issued: list[Credentials] = []

    def tls(authority: Authority) -> RegionTls:
        def issue() -> Credentials:
            subject = Subject(role=Role.REGION, id="region-one", name="region")
            issued.append(authority.credentials_for(subject, timedelta(days=90)))
            return issued[-1]

        return RegionTls(issue, lambda: now[0])

    region = make(tls)
    first = await dial(region)
    second = await dial(region)
    assert first.link.peer.fingerprint == second.link.peer.fingerprint
    now[0] += timedelta(days=61)
    third = await dial(region)
    assert third.link.peer.fingerprint != first.link.peer.fingerprint
    assert await eventually(lambda: len(issued) == 2)
    for each in (first, second, third):
        await each.end()

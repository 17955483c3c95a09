"""Both ends of a link reject a certificate without a name, for another purpose or expired."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from common.errors import NotTrusted
from common.rpc.tls import RegionTls
from common.trust.certificates import Credentials, Role, Subject, load_certificate, utc_now
from regiond.racks.enrolment.authority import Authority
from tests.integration.support.odd_certificates import odd_certificate
from tests.integration.support.rigs.linked import Region, dial, dial_anonymously, make_region
from tests.support.clock import advance
from tests.support.waiting import eventually, settle

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def odd(
    authority: Authority,
    *,
    names: Sequence[str] = (),
    usages: Sequence[x509.ObjectIdentifier] = (),
    lifetime: timedelta = timedelta(days=1),
) -> Credentials:
    key_pem, certificate_pem = odd_certificate(
        authority.key_pem, authority.certificate_pem, names=names, usages=usages, now=utc_now(), lifetime=lifetime
    )
    return Credentials(key_pem=key_pem, certificate_pem=certificate_pem, authority_pem=authority.certificate_pem)


MakeRegion = Callable[[Callable[[Authority], RegionTls]], Region]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeRegion]:
    regions: list[Region] = []

    def make_one(tls: Callable[[Authority], RegionTls]) -> Region:
        regions.append(make_region(tmp_path / "authority", tls))
        return regions[-1]

    yield make_one
    for region in regions:
        settle(region.listener.stop())


@pytest.fixture
def region(make: MakeRegion) -> Region:
    return make(lambda authority: authority.region_tls("region-one", "region"))


@pytest.mark.parametrize(
    "credentials",
    [
        lambda authority: odd(authority, usages=[CLIENT]),
        lambda authority: odd(authority, names=["x.rack.innkeeper.internal"]),
        lambda authority: authority.credentials_for(Subject(role=Role.REGION, id="x", name="x"), timedelta(days=1)),
        lambda authority: odd(authority, names=["x.region.innkeeper.internal"], usages=[SERVER, CLIENT]),
    ],
    ids=["no name", "no key usage", "region", "region with two key usages"],
)
async def test_a_rack_with_another_certificate_is_rejected(
    region: Region, credentials: Callable[[Authority], Credentials]
) -> None:
    with pytest.raises(NotTrusted):
        await dial(region, credentials(region.authority))
    assert region.links == []


async def test_an_expired_rack_certificate_is_rejected_with_the_reason(region: Region) -> None:
    expired = odd(
        region.authority, names=["x.rack.innkeeper.internal"], usages=[CLIENT], lifetime=timedelta(minutes=-1)
    )
    with pytest.raises(NotTrusted, match="expired"):
        await dial(region, expired)


async def test_a_link_ends_when_its_certificate_expires(region: Region) -> None:
    lifetime = timedelta(hours=1)
    good = odd(region.authority, names=["x.rack.innkeeper.internal"], usages=[CLIENT], lifetime=lifetime)
    ends_at = load_certificate(good.certificate_pem).not_valid_after_utc
    # The certificate has forty seconds left for the listener; OpenSSL, whose clock is fixed, sees almost an hour.
    region.clock = lambda: ends_at - timedelta(seconds=40)
    rack = await dial(region, good)
    await advance(10)
    assert rack.link.is_open
    await advance(30)
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
    ids=["no name", "no key usage", "rack", "rack as a server", "two key usages"],
)
async def test_a_region_with_a_certificate_of_another_role_is_rejected(
    make: MakeRegion, names: list[str], usages: list[x509.ObjectIdentifier]
) -> None:
    region = make(lambda authority: RegionTls(lambda: odd(authority, names=names, usages=usages)))
    with pytest.raises(NotTrusted):
        await dial(region)
    with pytest.raises(NotTrusted):
        await dial_anonymously(region)
    assert region.links == []


async def test_an_expired_region_certificate_is_rejected(make: MakeRegion) -> None:
    def expired(authority: Authority) -> Credentials:
        names, lifetime = ["x.region.innkeeper.internal"], timedelta(minutes=-1)
        return odd(authority, names=names, usages=[SERVER], lifetime=lifetime)

    region = make(lambda authority: RegionTls(lambda: expired(authority)))
    with pytest.raises(NotTrusted, match="expired"):
        await dial(region)
    with pytest.raises(NotTrusted, match="valid from"):
        await dial_anonymously(region)


async def test_the_region_certificate_is_renewed_before_it_expires(make: MakeRegion) -> None:
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

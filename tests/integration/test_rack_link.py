"""How a rack joins, keeps its links and renews its certificate, against a region over real TLS."""

from __future__ import annotations

import asyncio
import functools
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from common.certificates import fingerprint, load_certificate, utc_now
from common.errors import BadSettings, LinkLost, NotFound, NotTrusted, TokenRefused
from common.rpc.tokens import JoinToken, encode_token
from rackd import identity as identities
from rackd.identity import Identity
from rackd.joining import join
from rackd.region_link import Backoff, RegionLinks, Surroundings
from tests.integration.linked import ECHO, STUCK, Behaviour, Region, Text, make_region
from tests.waiting import eventually, settle

QUICK = Backoff(first_s=0.02, longest_s=0.1, refused_s=0.05)


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    made = make_region(tmp_path / "authority")
    yield made
    settle(made.listener.stop())


def links_of(identity: Identity, folder: Path, around: Surroundings | None = None) -> RegionLinks:
    return RegionLinks(
        identity,
        Behaviour().handlers(),
        save=functools.partial(identities.save, folder),
        surroundings=around or Surroundings(backoff=QUICK),
    )


async def test_a_token_makes_a_member_whose_identity_is_private_and_survives(region: Region, tmp_path: Path) -> None:
    made = await join(region.token(), tmp_path / "rack", "rack-a")
    assert identities.load(tmp_path / "rack") == made
    assert stat.S_IMODE((tmp_path / "rack" / "identity.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "rack").stat().st_mode) == 0o700
    assert "PRIVATE" not in repr(made)
    assert region.links == []


async def test_a_used_token_is_refused_and_nothing_is_saved(region: Region, tmp_path: Path) -> None:
    token = region.token()
    await join(token, tmp_path / "first", "rack-a")
    with pytest.raises(TokenRefused, match="used already"):
        await join(token, tmp_path / "second", "rack-b")
    with pytest.raises(NotFound):
        identities.load(tmp_path / "second")


async def test_a_token_of_another_region_is_not_given_away(region: Region, tmp_path: Path) -> None:
    token = region.token(fingerprint="cd" * 32)
    with pytest.raises(NotTrusted, match="not the region of the token"):
        await join(token, tmp_path / "rack", "rack-a")
    assert region.tokens == {"s3cret"}


async def test_the_second_address_of_a_token_is_tried_when_the_first_is_dead(region: Region, tmp_path: Path) -> None:
    region.tokens.add("both")
    token = encode_token(
        JoinToken(
            addresses=("127.0.0.1:1", str(region.address)),
            authority_fingerprint=region.authority.fingerprint,
            secret="both",  # noqa: S106  # a test's
        )
    )
    assert (await join(token, tmp_path / "rack", "rack-a")).name == "rack-a"


async def test_joining_says_which_addresses_were_not_reached(tmp_path: Path) -> None:
    token = encode_token(JoinToken(addresses=("127.0.0.1:1",), authority_fingerprint="ab" * 32, secret="x"))  # noqa: S106  # a test's
    with pytest.raises(LinkLost, match=r"127\.0\.0\.1:1"):
        await join(token, tmp_path / "rack", "rack-a")


async def test_an_identity_that_others_may_read_is_refused(region: Region, tmp_path: Path) -> None:
    await join(region.token(), tmp_path / "rack", "rack-a")
    (tmp_path / "rack" / "identity.json").chmod(0o644)
    with pytest.raises(BadSettings, match="chmod 600"):
        identities.load(tmp_path / "rack")


async def test_the_rack_comes_back_when_the_region_does(region: Region, tmp_path: Path) -> None:
    links = links_of(await join(region.token(), tmp_path / "rack", "rack-a"), tmp_path / "rack")
    links.start()
    await eventually(lambda: links.connected == 1 and region.links)
    await region.listener.stop()
    await eventually(lambda: links.connected == 0)
    region.start()
    await eventually(lambda: links.connected == 1)
    assert await eventually(lambda: len(region.links) == 2)
    assert await region.links[1].call(ECHO, Text(text="again"), deadline_s=30) == Text(text="again")
    await links.stop()
    assert links.connected == 0


async def test_a_removed_rack_says_so_and_goes_on_asking_slowly(region: Region, tmp_path: Path) -> None:
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        await asyncio.sleep(0.01)

    identity = await join(region.token(), tmp_path / "rack", "rack-a")
    around = Surroundings(sleep=sleep, chance=lambda: 1.0)
    links = links_of(identity, tmp_path / "rack", around)
    with capture_logs() as logs:
        links.start()
        await eventually(lambda: region.links)
        region.removed.add(identity.rack_id)
        region.listener.drop(lambda peer: peer.id == identity.rack_id, "this rack was removed")
        await eventually(lambda: sum(entry["event"] == "region_refused" for entry in logs) >= 3)
        region.removed.clear()
        await eventually(lambda: links.connected == 1)
        await links.stop()
    refused = next(entry for entry in logs if entry["event"] == "region_refused")
    assert refused["log_level"] == "error"
    assert "removed" in refused["reason"]
    assert waits.count(60.0) >= 3


async def test_the_certificate_is_renewed_in_time_and_the_links_are_made_anew(region: Region, tmp_path: Path) -> None:
    identity = await join(region.token(), tmp_path / "rack", "rack-a")
    folder = tmp_path / "rack"
    now = [utc_now()]

    async def sleep(wait_s: float) -> None:
        await asyncio.sleep(min(wait_s, 0.02))

    links = links_of(identity, folder, Surroundings(clock=lambda: now[0], sleep=sleep, backoff=QUICK))
    links.start()
    [first] = await eventually(lambda: region.links)
    assert links.identity == identity
    busy = asyncio.create_task(first.call(STUCK, Text(text="working"), deadline_s=30))
    await eventually(lambda: not first.is_quiet)
    region.rack_lifetime = timedelta(days=30)
    now[0] += timedelta(days=5)
    await eventually(lambda: links.identity != identity)
    assert identities.load(folder) == links.identity
    assert links.identity.key_pem != identity.key_pem
    assert first.is_open
    busy.cancel()
    await eventually(lambda: len(region.links) == 2)
    second = region.links[1]
    assert second.peer.id == first.peer.id
    assert second.peer.fingerprint == fingerprint(load_certificate(links.identity.certificate_pem))
    await links.stop()


async def test_a_failed_renewal_keeps_the_old_certificate_and_is_tried_again(region: Region, tmp_path: Path) -> None:
    identity = await join(region.token(), tmp_path / "rack", "rack-a")

    async def sleep(wait_s: float) -> None:
        await asyncio.sleep(min(wait_s, 0.02))

    now = utc_now() + timedelta(days=5)
    region.rack_lifetime = timedelta(minutes=-30)  # what the region signs is no good
    links = links_of(identity, tmp_path / "rack", Surroundings(clock=lambda: now, sleep=sleep, backoff=QUICK))
    with capture_logs() as logs:
        links.start()
        await eventually(lambda: [entry for entry in logs if entry["event"] == "certificate_renewal_failed"])
        assert identities.load(tmp_path / "rack") == identity
        region.rack_lifetime = timedelta(days=30)
        await eventually(lambda: links.identity != identity)
        await links.stop()


def test_waiting_grows_with_failures_and_never_exceeds_the_longest() -> None:
    backoff = Backoff()
    waits = [backoff.delay_s(failures, refused=False, chance=1.0) for failures in range(12)]
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert max(waits) == 30.0
    assert backoff.delay_s(3, refused=False, chance=0.0) == 2.0
    assert backoff.delay_s(0, refused=True, chance=1.0) == 60.0

"""A rack joins a region over TLS, reconnects and renews its certificate."""

from __future__ import annotations

import asyncio
import functools
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import frozen
from structlog.testing import capture_logs

from common.errors import BadSettings, LinkLost, NotFound, NotTrusted, TokenRejected
from common.rpc.backoff import Backoff
from common.rpc.commands.region_commands import REGION_ADDRESSES, RegionAddresses
from common.rpc.tokens import JoinToken, encode_token
from common.trust.certificates import fingerprint, load_certificate, utc_now
from rackd import identity as identities
from rackd.enrolment import join
from rackd.identity import Identity
from rackd.region_link import Environment, RegionLinks
from tests.integration.support.rigs.linked import STUCK, Behaviour, Region, Text, echo
from tests.support.waiting import eventually, settle

QUICK = Backoff(first_s=0.02, longest_s=0.1, rejected_s=0.05)


@frozen
class JoinedRack:
    """A rack that has joined the region; `folder` stores its identity."""

    folder: Path
    identity: Identity

    def links(self, environment: Environment | None = None) -> RegionLinks:
        save = functools.partial(identities.save, self.folder)
        environment = environment or Environment(backoff=QUICK)
        return RegionLinks(self.identity, Behaviour().handlers(), save=save, environment=environment)


@pytest.fixture
def rack(region: Region, tmp_path: Path) -> JoinedRack:
    return JoinedRack(tmp_path / "rack", settle(join(region.token(), tmp_path / "rack", "rack-a")))


async def sleep_briefly(wait_s: float) -> None:
    await asyncio.sleep(min(wait_s, 0.02))


async def test_joining_stores_a_private_identity(region: Region, rack: JoinedRack) -> None:
    assert identities.load(rack.folder) == rack.identity
    assert stat.S_IMODE((rack.folder / "identity.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(rack.folder.stat().st_mode) == 0o700
    assert "PRIVATE" not in repr(rack.identity)
    assert region.links == []


async def test_a_used_token_is_rejected_and_nothing_is_stored(region: Region, tmp_path: Path) -> None:
    token = region.token()
    await join(token, tmp_path / "first", "rack-a")
    with pytest.raises(TokenRejected, match="used already"):
        await join(token, tmp_path / "second", "rack-b")
    with pytest.raises(NotFound):
        identities.load(tmp_path / "second")


async def test_a_token_is_not_sent_to_another_region(region: Region, tmp_path: Path) -> None:
    token = region.token(fingerprint="cd" * 32)
    with pytest.raises(NotTrusted, match="not the region of the token"):
        await join(token, tmp_path, "rack-a")
    assert region.tokens == {"s3cret"}


async def test_joining_tries_the_next_address_of_the_token(region: Region, tmp_path: Path) -> None:
    token = region.token(addresses=("127.0.0.1:1",))
    assert (await join(token, tmp_path, "rack-a")).name == "rack-a"


async def test_joining_reports_unreachable_addresses(tmp_path: Path) -> None:
    token = encode_token(JoinToken(addresses=("127.0.0.1:1",), authority_fingerprint="ab" * 32, secret="x"))  # noqa: S106  # not a real secret
    with pytest.raises(LinkLost, match=r"127\.0\.0\.1:1"):
        await join(token, tmp_path, "rack-a")


async def test_an_identity_that_others_can_read_is_rejected(rack: JoinedRack) -> None:
    (rack.folder / "identity.json").chmod(0o644)
    with pytest.raises(BadSettings, match="chmod 600"):
        identities.load(rack.folder)


async def test_the_rack_reconnects_when_the_region_is_available_again(region: Region, rack: JoinedRack) -> None:
    links = rack.links()
    links.start()
    await eventually(lambda: links.connected == 1 and region.links)
    await region.listener.stop()
    await eventually(lambda: links.connected == 0)
    region.start()
    await eventually(lambda: links.connected == 1)
    assert await eventually(lambda: len(region.links) == 2)
    assert await echo(region.links[1], "again") == "again"
    await links.stop()
    assert links.connected == 0


async def test_a_removed_rack_logs_it_and_retries_slowly(region: Region, rack: JoinedRack) -> None:
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        await asyncio.sleep(0.01)

    links = rack.links(Environment(sleep=sleep, chance=lambda: 1.0))
    with capture_logs() as logs:
        links.start()
        await eventually(lambda: region.links)
        region.removed.add(rack.identity.rack_id)
        region.listener.drop(lambda peer: peer.id == rack.identity.rack_id, "this rack was removed")
        await eventually(lambda: sum(entry["event"] == "region_rejected_rack" for entry in logs) >= 3)
        region.removed.clear()
        await eventually(lambda: links.connected == 1)
        await links.stop()
    rejection = next(entry for entry in logs if entry["event"] == "region_rejected_rack")
    assert rejection["log_level"] == "error"
    assert "removed" in rejection["reason"]
    assert waits.count(60.0) >= 3


async def test_the_certificate_is_renewed_in_time_and_links_replaced(region: Region, rack: JoinedRack) -> None:
    now = [utc_now()]
    links = rack.links(Environment(clock=lambda: now[0], sleep=sleep_briefly, backoff=QUICK))
    links.start()
    [first] = await eventually(lambda: region.links)
    assert links.identity == rack.identity
    busy = asyncio.create_task(first.call(STUCK, Text(text="working"), deadline_s=300))
    await eventually(lambda: not first.is_idle)
    region.rack_lifetime = timedelta(days=30)
    now[0] += timedelta(days=5)
    await eventually(lambda: links.identity != rack.identity)
    assert identities.load(rack.folder) == links.identity
    assert links.identity.key_pem != rack.identity.key_pem
    assert first.is_open
    busy.cancel()
    await eventually(lambda: len(region.links) == 2)
    second = region.links[1]
    assert second.peer.id == first.peer.id
    assert second.peer.fingerprint == fingerprint(load_certificate(links.identity.certificate_pem))
    await links.stop()


class HeldSaves:
    """Saves identities; the first save is held until `go`, and then waits for those that have begun since."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed = threading.Condition()
        self.begun = self._ended = 0
        self._may_go = False

    def go(self) -> None:
        with self._changed:
            self._may_go = True
            self._changed.notify_all()

    def save(self, identity: Identity) -> None:
        with self._changed:
            self.begun += 1
            if self.begun == 1:
                self._changed.wait_for(lambda: self._may_go and self._ended == self.begun - 1)
        identities.save(self._folder, identity)
        with self._changed:
            self._ended += 1
            self._changed.notify_all()


@pytest.mark.parametrize("first", ["addresses", "certificate"])
async def test_a_renewal_and_new_addresses_overwrite_nothing(region: Region, rack: JoinedRack, first: str) -> None:
    """Whichever is being saved while the other arrives, both are kept, in memory and in the file."""
    now, saves = [utc_now()], HeldSaves(rack.folder)
    environment = Environment(clock=lambda: now[0], sleep=sleep_briefly, backoff=QUICK)
    links = RegionLinks(rack.identity, Behaviour().handlers(), save=saves.save, environment=environment)
    links.start()
    [link] = await eventually(lambda: region.links)
    region.rack_lifetime = timedelta(days=30)
    addresses = tuple(sorted((str(region.address), "127.0.0.1:1")))

    async def announce() -> None:
        link.send_event(REGION_ADDRESSES, RegionAddresses(addresses=addresses))

    async def renew() -> None:
        now[0] += timedelta(days=5)

    changes = (announce, renew) if first == "addresses" else (renew, announce)
    await changes[0]()
    await eventually(lambda: saves.begun == 1)
    await changes[1]()
    await eventually(lambda: region.renewals == 1)
    await echo(link, "the rack has seen all that the region sent before")
    await asyncio.to_thread(lambda: None)  # a save that was not held back has begun
    saves.go()
    await eventually(lambda: links.identity.key_pem != rack.identity.key_pem and links.identity.addresses == addresses)
    await eventually(lambda: identities.load(rack.folder) == links.identity)
    await links.stop()


async def test_a_failed_renewal_keeps_the_certificate_and_is_retried(region: Region, rack: JoinedRack) -> None:
    now = utc_now() + timedelta(days=5)
    region.rack_lifetime = timedelta(minutes=-30)  # the region signs certificates that have expired
    links = rack.links(Environment(clock=lambda: now, sleep=sleep_briefly, backoff=QUICK))
    with capture_logs() as logs:
        links.start()
        await eventually(lambda: [entry for entry in logs if entry["event"] == "certificate_renewal_failed"])
        assert identities.load(rack.folder) == rack.identity
        region.rack_lifetime = timedelta(days=30)
        await eventually(lambda: links.identity != rack.identity)
        await links.stop()


def test_the_back_off_grows_up_to_its_maximum() -> None:
    backoff = Backoff()
    waits = [backoff.delay_s(failures, rejected=False, chance=1.0) for failures in range(12)]
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert max(waits) == 30.0
    assert backoff.delay_s(3, rejected=False, chance=0.0) == 2.0
    assert backoff.delay_s(0, rejected=True, chance=1.0) == 60.0

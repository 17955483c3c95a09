"""Racks: joining by token, coming in, being removed, and who reaches what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.certificates import (
    Role,
    fingerprint,
    load_certificate,
    make_key,
    make_signing_request,
    subject_of,
)
from common.errors import (
    DatabaseUnavailable,
    HostUnreachable,
    InvalidRequest,
    NameTaken,
    NotAllowed,
    NotFound,
    TokenRefused,
)
from common.rpc.commands import JoinCall, Joined, RenewCall
from common.rpc.peers import Peer
from regiond.accounts.model import Caller
from regiond.accounts.service import Accounts
from regiond.db.listener import Notifications
from regiond.db.pool import Database
from regiond.racks import store
from regiond.racks.authority import Authority
from regiond.racks.model import RackCandidate, check_name, in_order
from regiond.racks.presence import Presence
from regiond.racks.service import Racks
from tests.waiting import eventually, settle

ADMIN = Caller(account_id=1, username="admin", is_admin=True)


@pytest.fixture
def presence(database: Database) -> Iterator[Presence]:
    made = Presence(database, hostname="region-1", pid=1)
    settle(made.start())
    yield made
    settle(made.stop())


@pytest.fixture
def racks(database: Database, presence: Presence, tmp_path: Path) -> Racks:
    settle(Accounts(database).ensure_admin())
    return Racks(
        database, Authority.open(tmp_path / "authority"), presence, token_text=lambda secret: f"token:{secret}"
    )


def _request(name: str = "rack-1") -> str:
    return make_signing_request(make_key(), name)


async def _token(racks: Racks) -> str:
    return (await racks.make_token(ADMIN, lifetime_s=600)).removeprefix("token:")


async def _join(racks: Racks, name: str = "rack-1") -> Joined:
    call = JoinCall(token_secret=await _token(racks), name=name, signing_request_pem=_request(name))
    return await racks.enrol(call)


def _peer(joined: Joined) -> Peer:
    certificate = load_certificate(joined.certificate_pem)
    return Peer(role=Role.RACK, id=joined.rack_id, name=joined.name, fingerprint=fingerprint(certificate))


# Joining -------------------------------------------------------------------------------------------------------------


async def test_a_token_makes_one_rack_with_a_certificate_that_is_let_in(racks: Racks, database: Database) -> None:
    joined = await _join(racks)
    certificate = load_certificate(joined.certificate_pem)
    assert (subject_of(certificate).role, subject_of(certificate).id) == (Role.RACK, joined.rack_id)
    await racks.admit(_peer(joined))
    (rack,) = await racks.list()
    assert (str(rack.id), rack.name, rack.connected, rack.seen_at) == (joined.rack_id, "rack-1", False, None)
    assert rack.certificate_expires_at == certificate.not_valid_after_utc
    async with database.connection() as db:
        assert joined.installation_id == str(await db.fetchval("select id from installation"))


async def test_a_token_used_expired_or_unknown_is_refused_saying_which(racks: Racks, database: Database) -> None:
    secret = await _token(racks)
    await racks.enrol(JoinCall(token_secret=secret, name="rack-1", signing_request_pem=_request()))
    late = await _token(racks)
    async with database.connection() as db:
        await db.execute("update rack_token set expires_at = now() - interval '1 second' where used_at is null")
    for refused, reason in ((secret, "used"), (late, "expired"), ("never made", "unknown"), ("\ud800", "unknown")):
        with pytest.raises(TokenRefused) as told:
            await racks.enrol(JoinCall(token_secret=refused, name="rack-2", signing_request_pem=_request()))
        assert told.value.details["reason"] == reason
        assert refused not in told.value.message
    assert len(await racks.list()) == 1


async def test_of_two_who_use_one_token_at_once_one_joins(racks: Racks) -> None:
    secret = await _token(racks)
    calls = [JoinCall(token_secret=secret, name=f"rack-{n}", signing_request_pem=_request()) for n in range(4)]
    done = await asyncio.gather(*(racks.enrol(call) for call in calls), return_exceptions=True)
    assert sum(isinstance(one, Joined) for one in done) == 1
    assert sum(isinstance(one, TokenRefused) for one in done) == 3
    assert len(await racks.list()) == 1


async def test_a_refused_request_leaves_the_token_good(racks: Racks) -> None:
    secret = await _token(racks)
    for bad in (
        JoinCall(token_secret=secret, name="rack-1", signing_request_pem="not a request"),
        JoinCall(token_secret=secret, name="-", signing_request_pem=_request()),
    ):
        with pytest.raises(InvalidRequest):
            await racks.enrol(bad)
    await racks.enrol(JoinCall(token_secret=secret, name="rack-1", signing_request_pem=_request()))


async def test_the_name_of_a_rack_that_was_seen_is_taken_until_it_is_removed(racks: Racks) -> None:
    first = await _join(racks)
    await racks.link_up(first.rack_id)
    await racks.link_down(first.rack_id)
    secret = await _token(racks)
    call = JoinCall(token_secret=secret, name="rack-1", signing_request_pem=_request())
    with pytest.raises(NameTaken, match="rack-1"):
        await racks.enrol(call)
    await racks.remove(ADMIN, first.rack_id)
    assert (await racks.enrol(call)).rack_id != first.rack_id


async def test_a_rack_whose_answer_was_lost_on_the_way_joins_again_under_its_name(racks: Racks) -> None:
    lost = await _join(racks)
    again = await _join(racks)
    assert [str(rack.id) for rack in await racks.list()] == [again.rack_id]
    with pytest.raises(NotAllowed):
        await racks.admit(_peer(lost))


async def test_tokens_are_for_admins_and_have_a_sensible_lifetime(racks: Racks) -> None:
    with pytest.raises(NotAllowed):
        await racks.make_token(Caller(account_id=2, username="user", is_admin=False), lifetime_s=60)
    for lifetime_s in (0, -1, 1e9, float("nan"), float("inf")):
        with pytest.raises(InvalidRequest):
            await racks.make_token(None, lifetime_s=lifetime_s)
    assert (await racks.make_token(None, lifetime_s=60)).startswith("token:")


async def test_the_secret_of_a_token_is_not_in_the_database(racks: Racks, database: Database) -> None:
    secret = await _token(racks)
    async with database.connection() as db:
        assert secret not in repr(await db.fetch("select * from rack_token"))
        assert secret not in repr(await db.fetch("select * from event"))


# Staying and leaving -------------------------------------------------------------------------------------------------


async def test_a_renewed_certificate_is_recorded_and_the_old_one_stays_good(racks: Racks) -> None:
    joined = await _join(racks)
    renewed = await racks.renew(joined.rack_id, RenewCall(signing_request_pem=_request()))
    certificate = load_certificate(renewed.certificate_pem)
    assert subject_of(certificate).id == joined.rack_id
    assert (await racks.read(joined.rack_id)).certificate_fingerprint == fingerprint(certificate)
    await racks.admit(_peer(joined))


async def test_a_removed_rack_is_told_to_every_region_and_refused(racks: Racks, database_url: str) -> None:
    joined = await _join(racks)
    await racks.link_up(joined.rack_id)
    heard: list[str] = []
    notifications = Notifications(database_url)
    notifications.on(store.REMOVED_CHANNEL, heard.append)
    await notifications.start()
    await racks.remove(ADMIN, joined.rack_id)
    await eventually(lambda: heard == [joined.rack_id])
    await notifications.stop()
    with pytest.raises(NotAllowed, match="was removed"):
        await racks.admit(_peer(joined))
    with pytest.raises(NotAllowed, match="was removed"):
        await racks.renew(joined.rack_id, RenewCall(signing_request_pem=_request()))
    assert await racks.list() == ()
    assert (await racks.read(joined.rack_id)).removed_at is not None
    await racks.remove(ADMIN, joined.rack_id)


async def test_a_rack_that_is_none_is_not_found_and_not_let_in(racks: Racks) -> None:
    for unknown in (str(uuid4()), "rack-1", ""):
        with pytest.raises(NotFound):
            await racks.read(unknown)
        with pytest.raises(NotFound):
            await racks.remove(ADMIN, unknown)
        with pytest.raises(NotAllowed):
            await racks.admit(Peer(role=Role.RACK, name="x", id=unknown))
    with pytest.raises(NotAllowed):
        await racks.admit(Peer(role=Role.REGION, name="x", id=str(uuid4())))


# RPC clients ---------------------------------------------------------------------------------------------------------


def _client_peer(certificate_pem: str) -> Peer:
    certificate = load_certificate(certificate_pem)
    subject = subject_of(certificate)
    return Peer(role=subject.role, id=subject.id, name=subject.name, fingerprint=fingerprint(certificate))


async def test_an_issued_client_acts_for_the_account_it_was_issued_to(racks: Racks, database: Database) -> None:
    admin = await Accounts(database).user("admin")
    certificate_pem, key_pem, authority_pem = await racks.issue_client(admin, "ci")
    peer = _client_peer(certificate_pem)
    assert peer.role is Role.CLIENT
    await racks.admit(peer)
    assert await racks.caller_of(peer) == admin
    load_certificate(certificate_pem).verify_directly_issued_by(load_certificate(authority_pem))
    async with database.connection() as db:
        assert key_pem not in repr(await db.fetch("select * from rpc_client"))
    assert [client.name for client in await racks.clients(admin)] == ["ci"]


async def test_a_client_is_refused_when_revoked_unknown_or_its_account_is_off(racks: Racks, database: Database) -> None:
    admin = await Accounts(database).user("admin")
    peer = _client_peer((await racks.issue_client(admin, "ci"))[0])
    with pytest.raises(NameTaken):
        await racks.issue_client(admin, "ci")
    for stranger in (
        Peer(role=Role.CLIENT, id=peer.id, name="ci", fingerprint="00"),
        Peer(role=Role.CLIENT, id=str(uuid4()), name="ci", fingerprint=peer.fingerprint),
    ):
        with pytest.raises(NotAllowed, match="not known"):
            await racks.admit(stranger)
    async with database.connection() as db:
        await db.execute("update account set is_active = false")
    with pytest.raises(NotAllowed, match="switched off"):
        await racks.admit(peer)
    async with database.connection() as db:
        await db.execute("update account set is_active = true")
    await racks.revoke_client(admin, "ci")
    with pytest.raises(NotAllowed, match="revoked"):
        await racks.admit(peer)
    with pytest.raises(NotFound):
        await racks.revoke_client(admin, "ci")
    await racks.issue_client(admin, "ci")


# Presence ------------------------------------------------------------------------------------------------------------


async def test_a_rack_is_connected_while_a_living_region_has_a_link(racks: Racks, database: Database) -> None:
    joined = await _join(racks)
    await racks.link_up(joined.rack_id)
    await racks.link_up(joined.rack_id)
    await racks.link_down(joined.rack_id)
    rack = await racks.read(joined.rack_id)
    assert rack.connected
    assert rack.seen_at is not None
    async with database.connection() as db:
        await db.execute("update region_process set seen_at = now() - interval '31 seconds'")
    assert not (await racks.read(joined.rack_id)).connected
    async with database.connection() as db:
        await db.execute("update region_process set seen_at = now()")
    await racks.link_down(joined.rack_id)
    assert not (await racks.read(joined.rack_id)).connected


async def test_a_region_whose_rows_were_taken_for_dead_writes_them_again(
    racks: Racks, presence: Presence, database: Database
) -> None:
    joined = await _join(racks)
    await racks.link_up(joined.rack_id)
    async with database.connection() as db:
        await db.execute("delete from region_process")
    await presence.beat()
    assert (await racks.read(joined.rack_id)).connected


async def test_the_racks_of_a_region_that_is_known_to_be_dead_are_not_connected(
    racks: Racks, presence: Presence, database: Database
) -> None:
    joined = await _join(racks)
    await racks.link_up(joined.rack_id)
    await Presence(database, hostname="neighbour", pid=1).forget(presence.region_id)
    assert not (await racks.read(joined.rack_id)).connected
    await presence.beat()  # it lives after all
    assert (await racks.read(joined.rack_id)).connected


async def test_a_region_that_stops_takes_its_rows_away_and_one_long_dead_is_forgotten(database: Database) -> None:
    dead, living = Presence(database, hostname="dead", pid=1), Presence(database, hostname="living", pid=2)
    await dead.beat()
    async with database.connection() as db:
        await db.execute("update region_process set seen_at = now() - interval '11 minutes'")
    await living.start()
    async with database.connection() as db:
        assert [row["hostname"] for row in await db.fetch("select hostname from region_process")] == ["living"]
    await living.stop()
    async with database.connection() as db:
        assert await db.fetchval("select count(*) from region_process") == 0


async def test_a_region_can_stop_without_its_database(database_url: str) -> None:
    database = await Database.open(database_url, min_size=1)
    presence = Presence(database, hostname="region-1", pid=1)
    await presence.start()
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await presence.beat()
    await presence.stop()


async def test_regions_that_beat_at_once_with_the_same_racks_do_not_block_each_other(
    racks: Racks, database: Database
) -> None:
    joined = [await _join(racks, f"rack-{number}") for number in range(6)]
    regions = [Presence(database, hostname=f"region-{number}", pid=1) for number in range(4)]
    ups = [region.link_up(UUID(rack.rack_id)) for region in regions for rack in joined]
    await asyncio.gather(*ups)
    await asyncio.gather(*(region.beat() for region in regions for _ in range(5)))
    assert all(rack.connected for rack in await racks.list())


# Reach ---------------------------------------------------------------------------------------------------------------


async def _host(database: Database, name: str = "local") -> int:
    async with database.connection() as db:
        host_id: int = await db.fetchval(
            "insert into vm_host (name, driver, address, system_id) values ($1, 'virsh', $1, $1) returning id", name
        )
    return host_id


async def test_only_news_about_a_host_is_written(racks: Racks, database: Database) -> None:
    joined, host_id = await _join(racks), await _host(database)
    error = HostUnreachable("no route to 10.0.0.1\0")
    said = [
        await racks.record_reach(joined.rack_id, host_id, outcome)
        for outcome in (None, None, error, error, HostUnreachable("timed out"), None)
    ]
    assert said == [True, False, True, False, True, True]
    assert (await racks.read(joined.rack_id)).hosts_reached == 1
    async with database.connection() as db:
        before = await db.fetchval("select xmin::text || ctid::text from rack_reach")
        await racks.record_reach(joined.rack_id, host_id)
        assert await db.fetchval("select xmin::text || ctid::text from rack_reach") == before


async def test_what_is_said_of_a_host_or_rack_that_is_gone_is_forgotten(racks: Racks, database: Database) -> None:
    joined, host_id = await _join(racks), await _host(database)
    assert not await racks.record_reach(joined.rack_id, host_id + 1)
    await racks.remove(ADMIN, joined.rack_id)
    assert not await racks.record_reach(joined.rack_id, host_id)


async def test_the_racks_for_a_host_are_the_connected_ones_that_reach_it_first(
    racks: Racks, database: Database
) -> None:
    host_id = await _host(database)
    failing, untried, reaching, away = [await _join(racks, name) for name in ("a", "b", "c", "d")]
    for rack in (failing, untried, reaching):
        await racks.link_up(rack.rack_id)
    await racks.record_reach(failing.rack_id, host_id, HostUnreachable("no route"))
    await racks.record_reach(reaching.rack_id, host_id)
    await racks.record_reach(away.rack_id, host_id)
    candidates = await racks.racks_for(host_id)
    assert [candidate.name for candidate in candidates] == ["c", "b", "a"]
    assert all(candidate.here for candidate in candidates)
    assert candidates[2].error_message == "no route"


async def test_a_rack_linked_to_another_region_is_offered_after_those_linked_here(
    racks: Racks, database: Database
) -> None:
    host_id = await _host(database)
    there, here = await _join(racks, "a"), await _join(racks, "b")
    other = Presence(database, hostname="region-2", pid=2)
    await other.link_up(UUID(there.rack_id))
    await racks.link_up(here.rack_id)
    assert [(each.name, each.here) for each in await racks.racks_for(host_id)] == [("b", True), ("a", False)]


_moment = st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2026, 2, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
_candidate = st.builds(
    RackCandidate,
    rack_id=st.uuids(),
    name=st.just("rack"),
    here=st.booleans(),
    reaches=st.sampled_from([True, False, None]),
    since=_moment,
)


@given(st.lists(_candidate, unique_by=lambda one: one.rack_id))
def test_the_order_does_not_depend_on_the_order_given_and_the_oldest_failure_is_tried_first(
    candidates: list[RackCandidate],
) -> None:
    ordered = in_order(candidates)
    assert in_order(reversed(candidates)) == ordered
    assert sorted(map(id, ordered)) == sorted(map(id, candidates))
    ranks = [{True: 0, None: 1, False: 2}[one.reaches] for one in ordered]
    assert ranks == sorted(ranks)
    for here in (True, False):
        failed = [one.since for one in ordered if one.reaches is False and one.here is here]
        assert failed == sorted(failed, key=lambda at: at or datetime.now(UTC))


@given(st.text(max_size=70))
def test_a_name_that_is_taken_has_only_harmless_characters(name: str) -> None:
    harmless = name.isascii() and 1 <= len(name) <= 63 and all(one.isalnum() or one in "._-" for one in name)
    if not (harmless and name[0].isalnum() and name[-1].isalnum()):
        with pytest.raises(InvalidRequest):
            check_name(name)
    else:
        assert check_name(name) == name

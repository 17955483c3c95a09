"""Racks join, are admitted and removed; RPC clients are issued and revoked."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest, NameTaken, NotAllowed, NotFound, TokenRejected
from common.rpc.commands.region_commands import JoinCall, Joined, RenewCall
from common.rpc.peers import Peer
from common.trust.certificates import Role, fingerprint, load_certificate, subject_of
from regiond.accounts.service import Accounts
from regiond.db.listener import Notifications
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.racks import store
from regiond.racks.admission_model import check_name
from regiond.racks.enrolment.admission import Admission
from regiond.racks.enrolment.rpc_clients import RpcClients
from regiond.racks.reach.heartbeat import Heartbeat
from regiond.racks.service import Racks
from regiond.requests.caller import Caller
from tests.integration.support.rigs.joined_racks import ADMIN, joined_rack, signing_request, token_secret
from tests.postgresql.database import execute, fetchval
from tests.support.administrators import add_administrator
from tests.support.waiting import eventually

pytestmark = pytest.mark.database


def _peer(certificate_pem: str) -> Peer:
    certificate = load_certificate(certificate_pem)
    subject = subject_of(certificate)
    return Peer(role=subject.role, id=subject.id, name=subject.name, fingerprint=fingerprint(certificate))


def _call(secret: str, name: str = "rack-1") -> JoinCall:
    return JoinCall(token_secret=secret, name=name, signing_request_pem=signing_request())


async def test_a_token_enrols_one_rack_that_is_admitted(racks: Racks, admission: Admission, database: Database) -> None:
    joined = await joined_rack(racks)
    certificate = load_certificate(joined.certificate_pem)
    assert (subject_of(certificate).role, subject_of(certificate).id) == (Role.RACK, joined.rack_id)
    await admission.admit(_peer(joined.certificate_pem))
    (rack,) = await racks.list()
    assert (str(rack.id), rack.name, rack.connected, rack.seen_at) == (joined.rack_id, "rack-1", False, None)
    assert rack.certificate_expires_at == certificate.not_valid_after_utc
    assert joined.installation_id == str(await fetchval(database, "select id from installation"))


async def test_a_used_expired_or_unknown_token_is_rejected_as_such(racks: Racks, database: Database) -> None:
    secret = await token_secret(racks)
    await racks.enrol(_call(secret))
    expired = await token_secret(racks)
    await execute(database, "update rack_token set expires_at = now() - interval '1 second' where used_at is null")
    for token, reason in ((secret, "used"), (expired, "expired"), ("never issued", "unknown"), ("\ud800", "unknown")):
        with pytest.raises(TokenRejected) as error:
            await racks.enrol(_call(token, "rack-2"))
        assert error.value.details["reason"] == reason
        assert token not in error.value.message
    assert len(await racks.list()) == 1


async def test_of_two_concurrent_uses_of_a_token_one_succeeds(racks: Racks) -> None:
    secret = await token_secret(racks)
    calls = [_call(secret, f"rack-{n}") for n in range(4)]
    done = await asyncio.gather(*(racks.enrol(call) for call in calls), return_exceptions=True)
    assert sum(isinstance(one, Joined) for one in done) == 1
    assert sum(isinstance(one, TokenRejected) for one in done) == 3
    assert len(await racks.list()) == 1


async def test_a_rejected_request_does_not_use_up_the_token(racks: Racks) -> None:
    secret = await token_secret(racks)
    for bad in (
        JoinCall(token_secret=secret, name="rack-1", signing_request_pem="not a request"),
        _call(secret, "-"),
    ):
        with pytest.raises(InvalidRequest):
            await racks.enrol(bad)
    await racks.enrol(_call(secret))


async def test_the_name_of_a_rack_is_taken_until_it_is_removed(racks: Racks, heartbeat: Heartbeat) -> None:
    first = await joined_rack(racks)
    await heartbeat.add_link(UUID(first.rack_id))
    await heartbeat.remove_link(UUID(first.rack_id))
    secret = await token_secret(racks)
    call = _call(secret)
    with pytest.raises(NameTaken, match=r"A rack named 'rack-1' exists\..* rackd join --name NAME -\."):
        await racks.enrol(call)
    await racks.enrol(evolve(call, name="rack-2"))
    call = _call(await token_secret(racks))
    await racks.remove(ADMIN, first.rack_id)
    assert (await racks.enrol(call)).rack_id != first.rack_id


async def test_a_rack_that_lost_the_response_can_join_again(racks: Racks, admission: Admission) -> None:
    lost = await joined_rack(racks)
    again = await joined_rack(racks)
    assert [str(rack.id) for rack in await racks.list()] == [again.rack_id]
    with pytest.raises(NotAllowed):
        await admission.admit(_peer(lost.certificate_pem))


async def test_only_admins_create_tokens_with_a_valid_lifetime(racks: Racks) -> None:
    with pytest.raises(NotAllowed):
        await racks.create_token(Caller(account_id=2, username="user", is_admin=False), lifetime_s=60)
    for lifetime_s in (0, -1, 1e9, float("nan"), float("inf")):
        with pytest.raises(InvalidRequest):
            await racks.create_token(None, lifetime_s=lifetime_s)
    assert (await racks.create_token(None, lifetime_s=60)).startswith("token:")


async def test_the_secret_of_a_token_is_not_in_the_database(racks: Racks, database: Database) -> None:
    secret = await token_secret(racks)
    async with database.connection() as db:
        for query in ("select * from rack_token", "select * from event"):
            assert secret not in repr(await db.fetch(query))


@given(st.text(max_size=70))
def test_an_invalid_rack_name_is_rejected(name: str) -> None:
    has_valid_characters = (
        name.isascii() and 1 <= len(name) <= 63 and all(one.isalnum() or one in "._-" for one in name)
    )
    if not (has_valid_characters and name[0].isalnum() and name[-1].isalnum()):
        with pytest.raises(InvalidRequest):
            check_name(name)
    else:
        assert check_name(name) == name


async def test_a_renewed_certificate_is_recorded(racks: Racks, admission: Admission) -> None:
    joined = await joined_rack(racks)
    renewed = await racks.renew(joined.rack_id, RenewCall(signing_request_pem=signing_request()))
    certificate = load_certificate(renewed.certificate_pem)
    assert subject_of(certificate).id == joined.rack_id
    assert (await racks.read(joined.rack_id)).certificate_fingerprint == fingerprint(certificate)
    await admission.admit(_peer(joined.certificate_pem))


async def test_the_removal_of_a_rack_is_notified_and_enforced(
    racks: Racks, admission: Admission, heartbeat: Heartbeat, database_url: str
) -> None:
    joined = await joined_rack(racks)
    await heartbeat.add_link(UUID(joined.rack_id))
    notified: list[str] = []
    notifications = Notifications(database_url)
    notifications.on(store.REMOVED_CHANNEL, notified.append)
    await notifications.start()
    await racks.remove(ADMIN, joined.rack_id)
    await eventually(lambda: notified == [joined.rack_id])
    await notifications.stop()
    with pytest.raises(NotAllowed, match="was removed"):
        await admission.admit(_peer(joined.certificate_pem))
    with pytest.raises(NotAllowed, match="was removed"):
        await racks.renew(joined.rack_id, RenewCall(signing_request_pem=signing_request()))
    assert await racks.list() == ()
    assert (await racks.read(joined.rack_id)).removed_at is not None
    await racks.remove(ADMIN, joined.rack_id)


async def test_an_unknown_rack_is_not_found_and_not_admitted(racks: Racks, admission: Admission) -> None:
    for unknown in (str(uuid4()), "rack-1", ""):
        with pytest.raises(NotFound):
            await racks.read(unknown)
        with pytest.raises(NotFound):
            await racks.remove(ADMIN, unknown)
        with pytest.raises(NotAllowed):
            await admission.admit(Peer(role=Role.RACK, name="x", id=unknown))
    with pytest.raises(NotAllowed):
        await admission.admit(Peer(role=Role.REGION, name="x", id=str(uuid4())))


async def test_an_issued_client_acts_for_the_account_it_was_issued_to(
    admission: Admission, rpc_clients: RpcClients, database: Database
) -> None:
    await add_administrator(database)
    admin = await Accounts(database, record_event=Events.record).user("admin")
    certificate_pem, key_pem, authority_pem = await rpc_clients.issue(admin, "ci")
    peer = _peer(certificate_pem)
    assert peer.role is Role.CLIENT
    await admission.admit(peer)
    assert await rpc_clients.caller_of(peer) == admin
    load_certificate(certificate_pem).verify_directly_issued_by(load_certificate(authority_pem))
    async with database.connection() as db:
        assert key_pem not in repr(await db.fetch("select * from rpc_client"))
    assert [client.name for client in await rpc_clients.list(admin)] == ["ci"]


async def test_revoked_unknown_or_disabled_clients_are_rejected(
    admission: Admission, rpc_clients: RpcClients, database: Database
) -> None:
    await add_administrator(database)
    admin = await Accounts(database, record_event=Events.record).user("admin")
    peer = _peer((await rpc_clients.issue(admin, "ci"))[0])
    with pytest.raises(NameTaken):
        await rpc_clients.issue(admin, "ci")
    for stranger in (
        Peer(role=Role.CLIENT, id=peer.id, name="ci", fingerprint="00"),
        Peer(role=Role.CLIENT, id=str(uuid4()), name="ci", fingerprint=peer.fingerprint),
    ):
        with pytest.raises(NotAllowed, match="unknown to this region"):
            await admission.admit(stranger)
    await execute(database, "update account set is_active = false")
    with pytest.raises(NotAllowed, match="is disabled"):
        await admission.admit(peer)
    await execute(database, "update account set is_active = true")
    await rpc_clients.revoke(admin, "ci")
    with pytest.raises(NotAllowed, match="revoked"):
        await admission.admit(peer)
    with pytest.raises(NotFound):
        await rpc_clients.revoke(admin, "ci")
    await rpc_clients.issue(admin, "ci")

"""The first contact with a server: what is compared, and what it is not sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InnkeeperError, InvalidRequest
from common.values import DriverType
from regiond.hosts.model import MASK, HostState
from regiond.hosts.trust.first_contact import read_fingerprint
from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.lxd_hosts import add, is_ready, parameters, state
from tests.integration.support.tables import rows, sql

PHRASE = "old-style password"


@pytest.fixture
def old(lxds: FakeLxds) -> FakeLxd:
    """A server with a trust password."""
    server = FakeLxd(name="lxd1", secrets={PHRASE})
    lxds.add(server)
    return server


async def test_a_password_is_not_sent_to_a_server_seen_for_the_first_time(innkeeper: Deployment, old: FakeLxd) -> None:
    host = await add(innkeeper, password=PHRASE)
    kind, code, message = await state(innkeeper, host)
    assert (kind, code) == (HostState.PENDING, "not_trusted")
    command = f"innkeeper vm-host trust {host['id']} fingerprint={old.fingerprint}"
    for text in (old.fingerprint, "lxc info", command, "trust_on_first_use=true"):
        assert text in message
    assert PHRASE not in message
    assert (await parameters(innkeeper, host))["password"] == MASK
    assert old.seen_secrets == []
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="trust", fingerprint=old.fingerprint)
    await innkeeper.after_refreshes(lambda: is_ready(innkeeper, host))
    assert old.seen_secrets == [PHRASE]
    assert await rows(innkeeper, "select name from secret") == []


@pytest.mark.parametrize("how", ["fingerprint", "trust_on_first_use"])
async def test_a_password_is_sent_to_a_server_that_a_person_vouches_for(
    innkeeper: Deployment, old: FakeLxd, how: str
) -> None:
    given = {"fingerprint": old.fingerprint.upper()} if how == "fingerprint" else {"trust_on_first_use": "true"}
    host = await add(innkeeper, password=PHRASE, **given)
    assert host["total"]["cores"] == 8
    assert old.seen_secrets == [PHRASE]


async def test_a_server_with_another_fingerprint_gets_no_secret(innkeeper: Deployment, old: FakeLxd) -> None:
    other = FakeLxd(name="other").fingerprint
    host = await add(innkeeper, password=PHRASE, fingerprint=other, trust_on_first_use="true")
    _, code, message = await state(innkeeper, host)
    assert code == "peer_changed"
    assert other in message
    assert old.fingerprint in message
    assert old.seen_secrets == []
    assert await rows(innkeeper, "select pinned, pinned_fingerprint from vm_host") == [(None, None)]
    assert await rows(innkeeper, "select * from rack_credential") == []
    changed = await innkeeper.put(f"vm-hosts/{host['id']}/", fingerprint=old.fingerprint)
    assert changed["total"]["cores"] == 8


async def test_an_impostor_that_was_pinned_first_is_replaced_by_a_fingerprint(
    innkeeper: Deployment, old: FakeLxd
) -> None:
    genuine = old.certificate_pem
    expected = old.fingerprint
    old.certificate_pem = FakeLxd(name="impostor").certificate_pem
    host = await add(innkeeper, password=PHRASE)
    old.certificate_pem = genuine
    changed = await innkeeper.put(f"vm-hosts/{host['id']}/", fingerprint=expected)
    assert changed["total"]["cores"] == 8
    with pytest.raises(InnkeeperError) as error:
        await innkeeper.put(f"vm-hosts/{host['id']}/", fingerprint="ab" * 32)
    assert f"{expected} is pinned for hv, not {'ab' * 32}" in str(error.value.details)


async def test_a_password_is_dropped_when_a_person_trusts_the_certificate(innkeeper: Deployment, old: FakeLxd) -> None:
    host = await add(innkeeper, password=PHRASE)
    await innkeeper.refresh_due()  # the one that follows each addition of a host
    old.trust((await parameters(innkeeper, host))["certificate"])
    await innkeeper.after_refreshes(lambda: is_ready(innkeeper, host))
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert old.seen_secrets == []
    assert await rows(innkeeper, "select name from secret") == []


async def test_another_project_of_a_known_server_needs_no_confirmation(innkeeper: Deployment, old: FakeLxd) -> None:
    await add(innkeeper, password=old.token())
    added = await add(innkeeper, project="web", password=PHRASE)
    assert added["total"]["cores"] == 8


async def test_a_known_server_gets_a_password_without_confirmation(innkeeper: Deployment, old: FakeLxd) -> None:
    await add(innkeeper, password=old.token())
    old.trusted.clear()
    added = await add(innkeeper, project="web", password=PHRASE)
    assert added["total"]["cores"] == 8
    assert old.seen_secrets[1:] == [PHRASE]


async def test_a_certificate_beside_the_presented_one_is_not_pinned(
    innkeeper: Deployment, old: FakeLxd, lxds: FakeLxds
) -> None:
    lxds.additions[old.name] = FakeLxd(name="impostor").certificate_pem
    host = await add(innkeeper, password=PHRASE, trust_on_first_use="true")
    _, code, message = await state(innkeeper, host)
    assert code == "response_rejected"
    assert "its TLS certificate cannot be pinned: not exactly one certificate" in message
    assert await rows(innkeeper, "select pinned from vm_host") == [(None,)]
    assert old.seen_secrets == []
    lxds.additions.clear()
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert await is_ready(innkeeper, host)


@pytest.mark.parametrize("other", ["impostor", "damaged"])
async def test_several_stored_pins_are_not_used_until_one_is_accepted(
    innkeeper: Deployment, old: FakeLxd, other: str
) -> None:
    host = await add(innkeeper, password=PHRASE, trust_on_first_use="true")
    old.certificate_pem = FakeLxd(name=other).certificate_pem
    stored = f"pinned || '{old.certificate_pem}'" if other == "impostor" else "'?'"
    await sql(innkeeper, f"update vm_host set pinned = {stored}")  # noqa: S608  of the test
    calls = len(old.seen_secrets)
    with pytest.raises(InnkeeperError, match=r"is n.*, so no server is trusted there"):
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    _, code, message = await state(innkeeper, host)
    assert code == "not_trusted"
    assert "innkeeper vm-host trust ID fingerprint=FINGERPRINT" in message
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="trust", fingerprint=old.fingerprint)
    await innkeeper.after_refreshes(lambda: is_ready(innkeeper, host))
    assert await rows(innkeeper, "select pinned from vm_host") == [(old.certificate_pem,)]
    assert len(old.seen_secrets) == calls


@given(st.binary(min_size=32, max_size=32))
def test_a_certificate_fingerprint_is_read_with_colons_and_capitals(digest: bytes) -> None:
    written = {digest.hex(), digest.hex(":").upper()}
    assert {read_fingerprint(text, DriverType.LXD, has_identity=True) for text in written} == {digest.hex()}


@pytest.mark.parametrize(
    ("text", "driver", "has_identity"),
    [
        ("ab", DriverType.LXD, True),
        ("SHA256:" + "A" * 43, DriverType.LXD, True),
        ("ab" * 32, DriverType.LIBVIRT, True),
        ("SHA256:" + "A" * 43, DriverType.LIBVIRT, False),
        ("ab" * 32, DriverType.SIMULATED, False),
    ],
)
def test_a_fingerprint_of_the_wrong_kind_is_rejected(text: str, driver: DriverType, *, has_identity: bool) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_fingerprint(text, driver, has_identity=has_identity)
    assert set(error.value.details["fields"]) == {"fingerprint"}
    ssh = "SHA256:" + "A" * 43
    assert read_fingerprint(ssh + "=", DriverType.LIBVIRT, has_identity=True) == ssh

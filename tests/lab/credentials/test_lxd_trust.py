"""Trust between a rack and a real LXD server."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import evolve

from common.errors import HostUnreachable, NotFound, NotTrusted, PeerChanged
from common.values import GuestChange, HostAccess
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.lab.support.lxd_specs import small_spec

pytestmark = pytest.mark.every_product


@pytest.fixture
def stranger(lxd: LxdServer) -> Iterator[KeyPair]:
    """A pair that the server does not trust; trust that the test adds is removed."""
    pair = make_key_pair(f"ikt-{uuid4().hex[:6]}")
    yield pair
    lxd.remove_trust(pair)


def opened(access: HostAccess) -> LxdDriver:
    return LxdDriverFactory().open(access)


def test_the_certificate_is_read_without_a_login(lxd: LxdServer, stranger: KeyPair) -> None:
    found = LxdDriverFactory().identify(lxd.access(stranger))
    assert found.fingerprint == lxd.ask("/1.0")["environment"]["certificate_fingerprint"]
    assert found.material.startswith("-----BEGIN CERTIFICATE-----")


def test_untrusted_errors_give_the_command(lxd: LxdServer, stranger: KeyPair) -> None:
    driver = opened(lxd.access(stranger))
    for attempt in (driver.reach, driver.discover, lambda: driver.trust(stranger.certificate_pem, "ikt", None)):
        with pytest.raises(NotTrusted, match=f"{lxd.command} config trust add"):
            attempt()
    driver.close()


def test_only_the_pinned_certificate_is_accepted(
    lxd: LxdServer, trusted: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LxdDriverFactory().identify(lxd.access(trusted))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(real.material)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bundle))
    other = make_key_pair("another server")
    driver = opened(lxd.access(trusted, pinned=other.certificate_pem))
    seen: list[GuestChange] = []
    for attempt in (driver.reach, driver.discover, lambda: driver.watch(seen.append)):
        with pytest.raises(PeerChanged) as rejected:
            attempt()
        assert rejected.value.details == {"pinned": other.fingerprint, "presented": real.fingerprint}
        assert real.fingerprint in str(rejected.value)
    driver.close()


def test_environment_ca_bundles_are_ignored(
    lxd: LxdServer, trusted: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(make_key_pair("another server").certificate_pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    driver = opened(lxd.access(trusted))
    assert driver.reach() == driver.discover().facts.hypervisor_version
    driver.watch(lambda _: None)()
    driver.close()


def test_a_token_works_once(lxd: LxdServer, stranger: KeyPair) -> None:
    token = lxd.token("ikt")
    driver = opened(lxd.access(stranger))
    driver.trust(stranger.certificate_pem, "ikt", token)
    driver.trust(stranger.certificate_pem, "ikt", None)  # it is trusted already
    assert driver.reach()
    assert stranger.fingerprint in lxd.trusted()
    driver.untrust(stranger.fingerprint)
    assert stranger.fingerprint not in lxd.trusted()
    again = opened(lxd.access(stranger))
    with pytest.raises(NotTrusted, match="token"):
        again.trust(stranger.certificate_pem, "ikt", token)
    again.close()
    driver.close()


def test_tokens_of_another_server_are_never_sent(lxd: LxdServer, stranger: KeyPair) -> None:
    token = json.loads(base64.b64decode(lxd.token("ikt-other")))
    other = base64.b64encode(json.dumps({**token, "fingerprint": "ab" * 32}).encode()).decode()
    driver = opened(lxd.access(stranger))
    with pytest.raises(PeerChanged) as rejected:
        driver.trust(stranger.certificate_pem, "ikt", other)
    assert rejected.value.details["presented"] == "ab" * 32
    assert token["secret"] not in str(rejected.value)
    original = base64.b64encode(json.dumps(token).encode()).decode()
    driver.trust(stranger.certificate_pem, "ikt", original)  # it was not used up
    driver.close()


def test_expired_tokens_are_not_sent(lxd: LxdServer, stranger: KeyPair) -> None:
    token = json.loads(base64.b64decode(lxd.token("ikt-late")))
    expired = {**token, "expires_at": "2020-01-01T00:00:00Z"}
    driver = opened(lxd.access(stranger))
    with pytest.raises(NotTrusted, match="expired at 2020-01-01"):
        driver.trust(stranger.certificate_pem, "ikt", base64.b64encode(json.dumps(expired).encode()).decode())
    driver.trust(stranger.certificate_pem, "ikt", base64.b64encode(json.dumps(token).encode()).decode())
    driver.close()


@pytest.mark.lxd_alone  # Incus has tokens only
def test_a_trust_password_is_accepted_if_configured(lxd: LxdServer, stranger: KeyPair) -> None:
    lxd.lxc("config", "set", "core.trust_password", "sesame")
    try:
        driver = opened(lxd.access(stranger))
        with pytest.raises(NotTrusted, match="password") as rejected:
            driver.trust(stranger.certificate_pem, "ikt", "guess")
        assert "guess" not in str(rejected.value)
        driver.trust(stranger.certificate_pem, "ikt", "sesame")
        assert driver.reach()
        driver.close()
    finally:
        lxd.lxc("config", "unset", "core.trust_password")


def test_the_old_pair_adds_the_new_one(lxd: LxdServer, stranger: KeyPair) -> None:
    old = make_key_pair("ikt-old")
    lxd.add_trust(old)
    driver = opened(lxd.access(old))
    for _ in range(2):
        driver.trust(stranger.certificate_pem, "ikt-new", None)
    assert driver.reach()
    successor = opened(lxd.access(stranger))
    for _ in range(2):
        successor.untrust(old.fingerprint)
    assert stranger.fingerprint in lxd.trusted()
    assert old.fingerprint not in lxd.trusted()
    with pytest.raises(NotTrusted):
        driver.reach()
    driver.close()
    successor.close()


def test_revoked_pairs_are_reported_during_work(lxd: LxdServer, stranger: KeyPair) -> None:
    lxd.add_trust(stranger)
    driver = opened(lxd.access(stranger))
    driver.discover()
    lxd.remove_trust(stranger)
    wanted = small_spec("ikt-vm", product=lxd.product)
    for attempt in (driver.discover, driver.projects, lambda: driver.compose(wanted), lambda: driver.find(wanted.ref)):
        with pytest.raises(NotTrusted, match=f"{lxd.command} config trust add"):
            attempt()
    driver.close()


def test_a_restricted_pair_is_replaced_and_stays_restricted(lxd: LxdServer, stranger: KeyPair) -> None:
    with lxd.project("ikt") as project:
        old = make_key_pair("ikt-old")
        lxd.add_trust(old, "--restricted", "--projects", project)
        driver = opened(lxd.access(old, project=project))
        driver.trust(stranger.certificate_pem, "ikt-new", None)
        certificate = lxd.ask(f"/1.0/certificates/{stranger.fingerprint}")
        assert (certificate["restricted"], certificate["projects"]) == (True, [project])
        assert old.fingerprint not in lxd.trusted()
        driver.close()


def test_a_missing_project_is_named_and_created_on_request(lxd: LxdServer, trusted: KeyPair) -> None:
    name = f"ikt-{uuid4().hex[:6]}"
    driver = opened(lxd.access(trusted, project=name))
    with pytest.raises(NotFound, match=name):
        driver.discover()
    assert name not in {project.name for project in driver.projects()}
    for _ in range(2):
        driver.make_project("Created by a test")
    try:
        (found,) = [project for project in driver.projects() if project.name == name]
        assert (found.description, found.guests) == ("Created by a test", 0)
        assert driver.discover().facts.cores >= 1
    finally:
        lxd.lxc("project", "delete", name)
        driver.close()


def test_a_restricted_pair_cannot_create_projects(lxd: LxdServer, stranger: KeyPair) -> None:
    with lxd.project("ikt") as project:
        lxd.add_trust(stranger, "--restricted", "--projects", project)
        driver = opened(lxd.access(stranger, project="ikt-missing"))
        with pytest.raises(NotFound, match="ikt-missing"):
            driver.discover()
        with pytest.raises(NotTrusted, match=f"{lxd.command} project create ikt-missing"):
            driver.make_project("never created")
        driver.close()


def test_opening_requires_a_pin_and_a_key_pair(lxd: LxdServer, trusted: KeyPair) -> None:
    access = lxd.access(trusted)
    with pytest.raises(NotTrusted, match="not pinned yet"):
        opened(evolve(access, pinned=None))
    with pytest.raises(NotTrusted, match="no certificate and key"):
        opened(evolve(access, credentials={}))
    foreign_key = {"certificate": trusted.certificate_pem, "key": make_key_pair("x").key_pem}
    with pytest.raises(NotTrusted, match="Cannot use the certificate"):
        opened(evolve(access, credentials=foreign_key))


def test_a_closed_address_is_unreachable(lxd: LxdServer, trusted: KeyPair) -> None:
    access = evolve(lxd.access(trusted), address="127.0.0.1:9")
    with pytest.raises(HostUnreachable, match="refused"):
        opened(access).reach()
    with pytest.raises(HostUnreachable, match="refused"):
        LxdDriverFactory().identify(access)
    assert not [one for one in threading.enumerate() if one.name == "lxd-watch"]

"""A certificate that belongs to an identity of LXD: trust by its token, another certificate, and its removal."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from attrs import define, evolve, field

from common.errors import OF_IDENTITY, NotTrusted
from common.values import DriverType, HostAccess
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import CERTIFICATE, KEY, LxdDriverFactory
from tests.contract.support.driver_fixtures import INSTALLATION
from tests.lab.support.key_pair import KeyPair
from tests.lxd_http.administrator import Administrator
from tests.lxd_http.releases import LXD_6_8
from tests.lxd_http.state import Lxd
from tests.lxd_http.transport import key_pair, served

FIRST, SECOND = key_pair("ik-first"), key_pair("ik-second")
OPERATOR = {"project default operator", "server can_view_resources", "server can_view_metrics"}
SEES = {"server can_view_identities"}


@define
class Server:
    """LXD 6.8 that trusts nobody yet."""

    lxd: Lxd
    access: Callable[[KeyPair], HostAccess]
    opened: list[LxdDriver] = field(factory=list)

    def driver(self, pair: KeyPair) -> LxdDriver:
        self.opened.append(LxdDriverFactory().open(self.access(pair)))
        return self.opened[-1]

    def token(self, name: str, *permissions: str) -> str:
        """`lxc auth identity create tls/NAME --group NAME`."""
        self.lxd.groups[name] = set(permissions)
        made = Administrator(self.lxd).ask(
            "/1.0/auth/identities/tls", method="POST", body={"name": name, "groups": [name], "token": True}
        )
        return base64.b64encode(json.dumps(made).encode()).decode()

    def trusted(self, pair: KeyPair, *permissions: str) -> LxdDriver:
        driver = self.driver(pair)
        driver.trust(pair.certificate_pem, "innkeeper-h", self.token("innkeeper", *permissions))
        return driver

    def holders(self) -> dict[str, str]:
        """The names of identities by their certificates."""
        return {one: found.name for one, found in self.lxd.identities.items()}


@pytest.fixture
def server() -> Iterator[Server]:
    lxd = Lxd(LXD_6_8)
    with ExitStack() as running:
        address, certificate_pem = running.enter_context(served(lxd, FIRST, SECOND))
        lxd.certificates.clear()

        def access(pair: KeyPair) -> HostAccess:
            return HostAccess(
                host_id=1, driver=DriverType.LXD, address=address, installation_id=INSTALLATION, pinned=certificate_pem,
                credentials={CERTIFICATE: pair.certificate_pem, KEY: pair.key_pem},
            )  # fmt: skip

        found = Server(lxd, access)
        yield found
        for driver in found.opened:
            driver.close()


def test_a_token_of_an_identity_makes_the_server_trust_us(server: Server) -> None:
    driver = server.trusted(FIRST, *OPERATOR)
    assert server.holders() == {FIRST.fingerprint: "innkeeper"}
    assert server.lxd.certificates == {}
    assert driver.discover().facts.product == "LXD"


def test_a_token_of_an_identity_works_once(server: Server) -> None:
    token = server.token("innkeeper", *OPERATOR)
    server.driver(FIRST).trust(FIRST.certificate_pem, "innkeeper-h", token)
    with pytest.raises(NotTrusted, match="already used, has expired or was revoked"):
        server.driver(SECOND).trust(SECOND.certificate_pem, "innkeeper-h", token)


@pytest.mark.parametrize("permissions", [OPERATOR, {"server admin"}])
def test_an_identity_gets_the_new_certificate_and_keeps_its_groups(server: Server, permissions: set[str]) -> None:
    old = server.trusted(FIRST, *permissions)
    old.trust(SECOND.certificate_pem, "innkeeper-h", None)
    assert server.holders() == {SECOND.fingerprint: "innkeeper"}
    assert server.lxd.identities[SECOND.fingerprint].groups == ["innkeeper"]
    assert server.lxd.certificates == {}
    new = server.driver(SECOND)
    new.untrust(FIRST.fingerprint)
    assert new.reach() == "6.8"
    with pytest.raises(NotTrusted):
        old.reach()
    old.untrust(FIRST.fingerprint)  # gone already


def test_a_certificate_of_the_trust_list_stays_one(server: Server) -> None:
    server.lxd.certificates[FIRST.fingerprint] = {"name": "by hand", "type": "client"}
    server.driver(FIRST).trust(SECOND.certificate_pem, "innkeeper-h", None)
    server.driver(SECOND).untrust(FIRST.fingerprint)
    assert list(server.lxd.certificates) == [SECOND.fingerprint]
    assert server.holders() == {}


def test_the_type_tells_an_identity_from_a_certificate_of_the_trust_list(server: Server) -> None:
    server.lxd.release = evolve(server.lxd.release, says_fine_grained=False)
    server.trusted(FIRST, *OPERATOR).trust(SECOND.certificate_pem, "innkeeper-h", None)
    assert (server.holders(), server.lxd.certificates) == ({SECOND.fingerprint: "innkeeper"}, {})
    server.lxd.identities.clear()
    server.lxd.certificates[FIRST.fingerprint] = {"name": "by hand", "type": "client"}
    server.driver(FIRST).trust(SECOND.certificate_pem, "innkeeper-h", None)
    assert (server.holders(), set(server.lxd.certificates)) == ({}, {FIRST.fingerprint, SECOND.fingerprint})


def test_an_identity_that_may_removes_itself(server: Server) -> None:
    driver = server.trusted(FIRST, "server admin")
    driver.untrust(FIRST.fingerprint)
    assert server.holders() == {}
    driver.untrust(FIRST.fingerprint)


@pytest.mark.parametrize("more", [set(), SEES], ids=["unseen", "seen"])
def test_an_identity_that_may_not_remove_itself_says_what_does(server: Server, more: set[str]) -> None:
    driver = server.trusted(FIRST, *OPERATOR, *more)
    with pytest.raises(NotTrusted, match=f"lxc auth identity delete tls/{FIRST.fingerprint}") as refused:
        driver.untrust(FIRST.fingerprint)
    assert refused.value.details[OF_IDENTITY] is True
    assert server.holders() == {FIRST.fingerprint: "innkeeper"}


def test_an_identity_that_sees_another_and_may_not_remove_it_says_what_does(server: Server) -> None:
    server.trusted(FIRST, *OPERATOR)
    token = server.token("second", *OPERATOR, *SEES)
    driver = server.driver(SECOND)
    driver.trust(SECOND.certificate_pem, "innkeeper-h", token)
    with pytest.raises(NotTrusted, match=f"lxc auth identity delete tls/{FIRST.fingerprint}") as refused:
        driver.untrust(FIRST.fingerprint)
    assert refused.value.details[OF_IDENTITY] is True
    assert set(server.holders()) == {FIRST.fingerprint, SECOND.fingerprint}


def test_a_missing_permission_of_an_identity_is_named(server: Server) -> None:
    driver = server.trusted(FIRST, "project default operator")
    with pytest.raises(NotTrusted, match="lxc auth group permission add GROUP server can_view_resources"):
        driver.discover()

"""`innkeeper login` over HTTPS: which certificates are accepted, and what is said about the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.ssl import PrivateCertificate
from twisted.protocols.tls import TLSMemoryBIOFactory

from regiond.api.declaration.endpoint import SiteInfo
from regiond.api.http.site import make_site
from tests.support.certificate_pairs import Pair, make_pair
from tests.support.ports import stop_listening
from tests.support.waiting import settle
from tests.unit.answers.accounts import ADMIN_KEY
from tests.unit.command.processes import Ran, finished, started
from tests.unit.support.api_double import ApiDouble

KEY = str(ADMIN_KEY)


@pytest.fixture
def pair() -> Pair:
    return make_pair()


@pytest.fixture
def api() -> ApiDouble:
    return ApiDouble()


@pytest.fixture
def server(api: ApiDouble, pair: Pair) -> Iterator[str]:
    site: Any = make_site(api.services(), SiteInfo())
    options = PrivateCertificate.loadPEM(pair.certificate_pem + pair.key_pem).options()
    factory: Any = TLSMemoryBIOFactory(options, False, site)
    port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    yield f"https://127.0.0.1:{port.getHost().port}"
    settle(stop_listening(port))
    settle(site.close())


async def _login(home: Path, *words: str) -> Ran:
    return await finished(await started(home, "login", "admin", *words), KEY + "\n")


async def test_an_unknown_certificate_is_refused_before_the_key_is_sent(
    server: str, api: ApiDouble, tmp_path: Path
) -> None:
    ran = await _login(tmp_path, server)
    assert ran.status == 7
    assert "No authority of this computer vouches for the certificate" in ran.err
    assert "--ca-file" in ran.err
    assert "--fingerprint" in ran.err
    assert api.calls == []


async def test_a_given_authority_is_kept_in_the_profile(server: str, pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(pair.certificate_pem)
    assert (await _login(tmp_path, server, "--ca-file", str(file))).status == 0
    file.unlink()
    ran = await finished(await started(tmp_path, "users", "whoami"))
    assert ran.status == 0, ran.err


async def test_a_pinned_certificate_is_kept_in_the_profile(server: str, pair: Pair, tmp_path: Path) -> None:
    colons = ":".join(pair.fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
    ran = await _login(tmp_path, server, "--fingerprint", f"sha256 Fingerprint={colons}")
    assert ran.status == 0, ran.err
    stored = json.loads((tmp_path / ".config/innkeeper/profiles.json").read_text())
    assert stored["profiles"]["admin"]["trust"]["fingerprint"] == pair.fingerprint
    assert (await finished(await started(tmp_path, "users", "whoami"))).status == 0


async def test_another_certificate_than_the_pinned_one_gets_no_key(
    server: str, pair: Pair, api: ApiDouble, tmp_path: Path
) -> None:
    wanted = make_pair().fingerprint
    ran = await _login(tmp_path, server, "--fingerprint", wanted)
    assert ran.status == 1
    assert f"presents the certificate {pair.fingerprint}, but {wanted} was pinned" in ran.err
    assert api.calls == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("http://127.0.0.1:1", "--fingerprint", "ab" * 32), "are for https"),
        (("https://127.0.0.1:1", "--fingerprint", "abc"), "64 hexadecimal digits"),
        (("https://127.0.0.1:1", "--ca-file", "/nowhere.pem"), "Cannot use --ca-file /nowhere.pem: No such file"),
        (("https://127.0.0.1:1", "--ca-file", __file__), "no certificate in PEM form"),
        (("https://127.0.0.1:1", "--ca-file", "x", "--fingerprint", "y"), "not both"),
    ],
)
async def test_wrong_options_are_named(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    ran = await _login(tmp_path, *words)
    assert ran.status != 0
    assert message in ran.err

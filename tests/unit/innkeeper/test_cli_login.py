"""`innkeeper login` with passwords, pasted keys and wrong addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from common.errors import NotAuthenticated, TooManyAttempts
from innkeeper.commands.login import is_begun, parse_key
from regiond.api.declaration.endpoint import SiteInfo
from regiond.api.http.site import make_site
from tests.support.ports import stop_listening
from tests.support.waiting import settle
from tests.unit.answers.accounts import ADMIN_KEY
from tests.unit.command.processes import Ran, finished, on_terminal, started
from tests.unit.support.api_double import ApiDouble

KEY = f"{ADMIN_KEY.consumer_key}:{ADMIN_KEY.token_key}:{ADMIN_KEY.token_secret}"
PARTS = {
    "name": "laptop",
    "consumer_key": ADMIN_KEY.consumer_key,
    "token_key": ADMIN_KEY.token_key,
    "token_secret": ADMIN_KEY.token_secret,
}
PASSWORD = "vault-orbit-kettle-91"  # noqa: S105


@pytest.fixture
def api() -> ApiDouble:
    double = ApiDouble()
    double.answers["logins.log_in"] = ("laptop", KEY)
    return double


@pytest.fixture
def server(api: ApiDouble) -> Iterator[str]:
    site: Any = make_site(api.services(), SiteInfo())
    port: Any = reactor.listenTCP(0, site, interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}"
    settle(stop_listening(port))
    settle(site.close())


async def _login(home: Path, *words: str, given: str = "") -> Ran:
    return await finished(await started(home, "login", "admin", *words), given)


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"  {KEY}\n",
        f"The key of admin is {KEY}",
        json.dumps(PARTS),
        json.dumps(PARTS, indent=4),
        "\n".join(f"{name}  {value}" for name, value in PARTS.items()),
        "\n".join(f"{name.replace('_', ' ')}  {value}" for name, value in PARTS.items()),
    ],
)
def test_a_key_is_found_in_what_commands_print(text: str) -> None:
    assert parse_key(text) == KEY


@pytest.mark.parametrize("text", ["", "a:b", "a:b:c:d", f"{KEY} {KEY}", "{", "[]", '{"consumer_key": "a"}'])
def test_a_text_without_one_key_has_none(text: str) -> None:
    assert parse_key(text) is None


def test_only_an_unfinished_key_is_begun() -> None:
    assert is_begun('{\n  "name": "x",')
    assert not is_begun(json.dumps(PARTS, indent=1))
    assert not is_begun(KEY)


async def test_a_login_by_password_stores_the_new_key(api: ApiDouble, server: str, tmp_path: Path) -> None:
    ran = await _login(tmp_path, server, "--username", "admin", given=PASSWORD + "\n")
    assert ran.status == 0, ran.err
    call = next(one for one in api.calls if one.name == "logins.log_in")
    assert call.args == ("admin", PASSWORD)
    assert call.named["address"] == "127.0.0.1"
    stored = json.loads((tmp_path / ".config/innkeeper/profiles.json").read_text())
    assert stored["profiles"]["admin"]["key"] == KEY


async def test_a_terminal_is_asked_for_name_and_password(api: ApiDouble, server: str, tmp_path: Path) -> None:
    given = {"API key): ": "admin\n", "Password: ": PASSWORD + "\n"}
    ran = await on_terminal(tmp_path, "login", "admin", server, given=given)
    assert "Logged in" in ran.out
    assert PASSWORD not in ran.out


@pytest.mark.parametrize("text", [KEY, json.dumps(PARTS), json.dumps(PARTS, indent=4)])
async def test_a_key_is_read_in_any_printed_form(server: str, tmp_path: Path, text: str) -> None:
    assert (await _login(tmp_path, server, given=text + "\n")).status == 0


async def test_a_wrong_password_is_named(api: ApiDouble, server: str, tmp_path: Path) -> None:
    api.answers["logins.log_in"] = NotAuthenticated("Wrong user name or password.")
    ran = await _login(tmp_path, server, "--username", "admin", given="x\n")
    assert (ran.status, ran.err.strip()) == (3, "Wrong user name or password.")


async def test_too_many_failures_say_how_long_to_wait(api: ApiDouble, server: str, tmp_path: Path) -> None:
    api.answers["logins.log_in"] = TooManyAttempts("Too many failed logins. Try again in 9 s.", retry_after_s=9)
    ran = await _login(tmp_path, server, "--username", "admin", given="x\n")
    assert (ran.status, ran.err.strip()) == (6, "Too many failed logins. Try again in 9 s.")


@pytest.mark.parametrize("words", [(), ("--username", "admin")])
async def test_a_wrong_path_is_a_clear_error(server: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = await _login(tmp_path, f"{server}/foo", *words, given=f"{KEY}\n")
    assert ran.status == 1
    assert f"has no region at /foo/MAAS/api/2.0/ (status 404). Without '/foo' the address is {server}/MAAS" in ran.err


async def test_an_option_of_login_is_refused_elsewhere(tmp_path: Path) -> None:
    ran = await finished(await started(tmp_path, "profiles", "--username", "x"))
    assert ran.status == 2

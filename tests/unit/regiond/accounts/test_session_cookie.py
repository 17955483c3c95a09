"""The cookie of a session."""

from __future__ import annotations

from datetime import timedelta

import pytest

from regiond.accounts.csrf import csrf_secret
from regiond.accounts.sessions import account_of, new_token, token_hash
from regiond.ui.serving.session_cookie import clear_cookie, read_cookie, set_cookie

TOKEN = "t" * 43
HOUR = timedelta(hours=1)


def test_the_cookie_is_hidden_from_scripts_and_other_sites() -> None:
    assert set_cookie(TOKEN, secure=True, lifetime=HOUR) == (
        f"__Secure-innkeeper_session={TOKEN}; Path=/MAAS; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"
    )
    assert set_cookie(TOKEN, secure=False, lifetime=HOUR) == (
        f"innkeeper_session={TOKEN}; Path=/MAAS; Max-Age=3600; HttpOnly; SameSite=Lax"
    )
    assert "__Secure-innkeeper_session=; Path=/MAAS; Max-Age=0;" in clear_cookie(secure=True)


def test_a_token_is_read_back_from_the_cookies_of_a_request() -> None:
    token = new_token(7)
    pair = set_cookie(token, secure=True, lifetime=HOUR).partition(";")[0]
    assert read_cookie(f"other=1; {pair}; last=2", secure=True) == token
    assert read_cookie(pair, secure=False) is None
    assert len({new_token(7) for _ in range(100)}) == 100


@pytest.mark.parametrize("account_id", [0, 7, 2**31 - 1])
def test_a_token_names_its_account(account_id: int) -> None:
    assert account_of(new_token(account_id)) == account_id


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "innkeeper_session=",
        "innkeeper_session=short",
        f"innkeeper_session={TOKEN}\0",
        f"a=innkeeper_session={TOKEN}",
        f"innkeeper_session={TOKEN}; innkeeper_session={'u' * 43}",
        "=" * 10000,
    ],
)
def test_other_headers_have_no_token(header: str | None) -> None:
    assert read_cookie(header, secure=False) is None


def test_hash_and_csrf_secret_tell_nothing_of_each_other() -> None:
    assert len(token_hash(TOKEN)) == 32
    assert csrf_secret(TOKEN) != token_hash(TOKEN)
    assert csrf_secret(TOKEN) != csrf_secret("u" * 43)

"""Guesses: of passwords, each of which costs the region a slow hash, and of API keys."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

from attrs import frozen

from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import exchange, request, stranger

_LOGIN = "/MAAS/accounts/authenticate/"


@frozen(kw_only=True)
class PasswordGuesses:
    """Half of the logins are for the administrator, the others for names that do not exist."""

    name: str = "logins"
    what: str = "logins with wrong passwords from 100 addresses"
    callers: int = 16
    addresses: int = 100

    async def run(self, target: Target, tally: Tally) -> None:
        async def guess(number: int) -> None:
            username = "admin" if number % 2 else f"user-{number}"
            body = urlencode({"username": username, "password": secrets.token_hex(12)}).encode()
            answer = await exchange(
                target.http_port, request("POST", _LOGIN, body=body), address=stranger(number, self.addresses)
            )
            tally.count(answer.status)

        await repeat(self.callers, guess, tally)


@frozen(kw_only=True)
class KeyGuesses:
    name: str = "keys"
    what: str = "requests with guessed API keys from 20 addresses"
    callers: int = 4
    addresses: int = 20

    async def run(self, target: Target, tally: Tally) -> None:
        async def guess(number: int) -> None:
            key = ":".join(secrets.token_hex(9) for _ in range(3))
            data = request("GET", "machines/", key=key)
            tally.count((await exchange(target.http_port, data, address=stranger(number, self.addresses))).status)

        await repeat(self.callers, guess, tally)


ATTACKS: tuple[Attack, ...] = (PasswordGuesses(), KeyGuesses())

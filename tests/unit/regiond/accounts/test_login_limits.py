"""Limits of failed logins."""

from __future__ import annotations

import pytest

from common.addresses.ip_networks import IpNetworks, network_of
from common.errors import InvalidRequest, TooManyAttempts
from regiond.accounts.login_limits import FORGOTTEN_AFTER_S, FREE_FAILURES, MAX_DELAY_S, LoginLimits
from regiond.accounts.passwords import Passwords, weakness
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> LoginLimits:
    return LoginLimits(clock)


def _fail(limits: LoginLimits, number: int, *, address: str = "10.0.0.1", username: str = "ann") -> None:
    for _ in range(number):
        limits.begin(address=address, username=username)


def _wait(limits: LoginLimits, *, address: str, username: str) -> int:
    with pytest.raises(TooManyAttempts) as error:
        limits.begin(address=address, username=username)
    return int(error.value.details["retry_after_s"])


def test_the_delay_doubles_with_each_further_failure(limits: LoginLimits, clock: Clock) -> None:
    _fail(limits, FREE_FAILURES)
    waits = []
    for _ in range(12):
        waits.append(_wait(limits, address="10.0.0.1", username="ann"))
        clock.now += waits[-1]
        _fail(limits, 1)
    assert waits[:4] == [3, 5, 9, 17]
    assert waits[-1] == MAX_DELAY_S + 1


def test_the_limit_is_of_the_account_and_of_the_address(limits: LoginLimits) -> None:
    for number in range(FREE_FAILURES):
        _fail(limits, 1, address=f"10.0.0.{number}", username="ann")
        _fail(limits, 1, address="10.9.9.9", username=f"user{number}")
    assert _wait(limits, address="10.8.8.8", username="ann")
    assert _wait(limits, address="10.9.9.9", username="someone")
    _fail(limits, 1, address="10.8.8.8", username="someone")


def test_own_logins_do_not_clear_the_failures_of_an_address(limits: LoginLimits) -> None:
    for number in range(FREE_FAILURES):
        _fail(limits, 1, address="10.9.9.9", username=f"user{number}")
        if number < FREE_FAILURES - 1:
            limits.succeed(limits.begin(address="10.9.9.9", username="mine"))
    assert _wait(limits, address="10.9.9.9", username="mine")


def test_a_login_clears_the_failures_of_its_account(limits: LoginLimits) -> None:
    _fail(limits, FREE_FAILURES - 1, address="10.0.0.1")
    limits.succeed(limits.begin(address="10.0.0.2", username="ann"))
    _fail(limits, FREE_FAILURES - 1, address="10.0.0.3")


def test_failures_are_forgotten_after_an_hour(limits: LoginLimits, clock: Clock) -> None:
    _fail(limits, FREE_FAILURES)
    clock.now += FORGOTTEN_AFTER_S
    _fail(limits, 1)


@pytest.mark.parametrize(
    ("address", "network"),
    [("10.0.0.1", "10.0.0.1"), ("2001:db8::1:2:3:4", "2001:db8::"), ("::ffff:10.0.0.1", "10.0.0.1"), ("odd", "odd")],
)
def test_ipv6_addresses_count_by_network(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    "password",
    [
        "short", "elevenchars", "passwordpassword", "Password12345", "P@ssw0rd2024!", "Summer-2026-!!", "12-letmein-34",
        "aaaaaaaaaaaaaa", "123456789012", "qwertyuiopasdfghjkl", "abcabcabcabc", "x" * 1025,
        "vault-orbit-\ud800-kettle",
    ],
)  # fmt: skip
def test_weak_passwords_are_rejected(password: str) -> None:
    found = weakness(password)
    assert found is not None
    assert password not in found


@pytest.mark.parametrize(
    ("username", "password"),
    [("olga", "olga-kettle-orbit-7"), ("Olga", "kettle-OLGA-orbit-7"), ("olga@example.net", "kettle7olga7orbit")],
)
def test_a_password_that_contains_the_user_name_is_rejected(username: str, password: str) -> None:
    assert "contains the user name" in (weakness(password, username=username) or "")
    assert weakness(password, username="ann") is None
    assert weakness(password, username="o") is None  # such a name is in any text by chance


def test_the_length_can_be_raised_and_never_lowered() -> None:
    assert weakness("vault-orbit-kettle-91", min_length=24) is not None
    with pytest.raises(InvalidRequest):
        Passwords(min_length=4).check_new("orbit-91", field="password", username="ann")


def test_a_long_random_password_is_accepted() -> None:
    for password in ("vault-orbit-kettle-91", "h7Gq-2kPz-9mWx", "correct horse of the staple"):
        assert weakness(password) is None


async def test_a_password_matches_only_its_own_hash() -> None:
    passwords = Passwords()
    stored = await passwords.hashed("vault-orbit-kettle-91")
    assert stored.startswith("$argon2id$")
    assert await passwords.is_right(stored, "vault-orbit-kettle-91")
    assert not await passwords.is_right(stored, "vault-orbit-kettle-92")
    assert not await passwords.is_right(None, "vault-orbit-kettle-91")
    assert not await passwords.is_right("damaged", "vault-orbit-kettle-91")
    assert not await passwords.is_right(stored, "\ud800")
    await passwords.stop()


def test_failures_elsewhere_do_not_keep_a_user_out(limits: LoginLimits) -> None:
    limits.succeed(limits.begin(address="10.0.0.1", username="ann"))
    for number in range(FREE_FAILURES):
        _fail(limits, 1, address=f"10.9.9.{number}", username="ann")
    assert _wait(limits, address="10.9.9.200", username="ann")
    limits.succeed(limits.begin(address="10.0.0.1", username="ann"))


def test_an_exempt_address_counts_only_for_its_account(clock: Clock) -> None:
    limits = LoginLimits(clock, IpNetworks.parse(("10.0.0.0/8",)))
    for number in range(2 * FREE_FAILURES):
        _fail(limits, 1, address="10.0.0.1", username=f"user{number}")
    _fail(limits, FREE_FAILURES, address="10.0.0.1")
    assert _wait(limits, address="10.0.0.1", username="ann")

"""Passwords that the command asks for on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.command.processes import Cli, on_terminal
from tests.unit.support.cli_region import Region, Reply, action, description, handler

WORDS = ("admin", "users", "create", "username=ann")
CREATE = "POST users/"


@pytest.fixture
def with_users(region: Region) -> Region:
    """A region that has the action `users create`, before the command logs in."""
    create = action("create", "POST", doc="Create.\n\n:param username: x\n:param password: y")
    region.described = description(extra=(handler("UsersHandler", "users/", create),))
    region.give(CREATE, Reply(200, {"username": "ann"}))
    return region


async def test_a_missing_password_is_asked_for_without_echo(home: Path, with_users: Region, logged_in: Cli) -> None:
    ran = await on_terminal(home, *WORDS, given={"Password: ": "quiet-lantern\n", "Repeat it: ": "quiet-lantern\n"})
    assert ran.status == 0, ran.out
    assert "quiet-lantern" not in ran.out
    (sent,) = with_users.requests_to(CREATE)
    assert b"quiet-lantern" in sent.body


async def test_two_different_inputs_change_nothing(home: Path, with_users: Region, logged_in: Cli) -> None:
    typed = {"Password: ": "quiet-lantern\n", "Repeat it: ": "quiet-lentern\n"}
    ran = await on_terminal(home, *WORDS, "password=-", given=typed)
    assert (ran.status, "The two passwords differ" in ran.out) == (1, True)
    assert not with_users.requests_to(CREATE)


async def test_a_pipe_gives_the_password_in_a_line(with_users: Region, logged_in: Cli) -> None:
    ran = await logged_in(*WORDS, "password=-", given="quiet-lantern\n")
    assert ran.status == 0, ran.err
    (sent,) = with_users.requests_to(CREATE)
    assert b"quiet-lantern" in sent.body

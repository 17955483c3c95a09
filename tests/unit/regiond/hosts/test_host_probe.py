"""Whether a host counts as dead before it is removed by force."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from common.errors import DatabaseUnavailable, HostUnreachable, InnkeeperError, LinkLost, RackUnreachable, WrongState
from regiond.hosts.host_probe import require_alive, require_dead
from regiond.racks.calls.host_calls import HostCalls
from tests.doubles.signatures import in_place_of


@frozen
class FailingCalls:
    error: InnkeeperError

    async def call(self, *_: object, **__: object) -> Any:
        raise self.error


def calls(error: InnkeeperError) -> HostCalls:
    return in_place_of(HostCalls, FailingCalls(error))


async def test_a_host_that_does_not_answer_is_dead() -> None:
    assert await require_dead(calls(HostUnreachable("ant is down.")), 1, "ant") == "ant is down."


@pytest.mark.parametrize("error", [LinkLost("lost"), RackUnreachable("no rack")])
async def test_without_a_rack_nothing_is_known(error: InnkeeperError) -> None:
    with pytest.raises(RackUnreachable, match="No rack could check"):
        await require_dead(calls(error), 1, "ant")


async def test_a_failure_of_the_database_says_nothing_of_the_host() -> None:
    broken = calls(DatabaseUnavailable("Cannot connect to the database."))
    with pytest.raises(DatabaseUnavailable):
        await require_dead(broken, 1, "ant")
    with pytest.raises(DatabaseUnavailable):
        await require_alive(broken, 1, "ant")


async def test_a_host_that_answers_with_an_error_is_alive() -> None:
    with pytest.raises(WrongState, match="ant answers, with an error"):
        await require_dead(calls(WrongState("no")), 1, "ant")

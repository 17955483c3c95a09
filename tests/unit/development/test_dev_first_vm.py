"""./dev run continues after an outage of the region while it sets up the first VM."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.errors import InnkeeperError, LinkLost, OutOfCapacity
from development.first_vm import MAX_OUTAGES, through_outages

NO_CONNECTION = InnkeeperError("Cannot connect to 127.0.0.1:5240: connection refused")
NO_RACK = InnkeeperError("No rack is connected.", status=503)
FULL = OutOfCapacity("needs 1 core, 0 free", status=503)


class Region:
    """Fails with each of `errors` in turn, then succeeds. Counts the calls of `available`."""

    def __init__(self, *errors: InnkeeperError, available: bool = True) -> None:
        self._errors: Iterator[InnkeeperError] = iter(errors)
        self._available = available
        self.attempts = 0
        self.reports: list[str] = []

    async def attempt(self) -> str:
        self.attempts += 1
        for error in self._errors:
            raise error
        return "composed"

    async def available(self) -> bool:
        return self._available

    async def run(self) -> str:
        return await through_outages(self.attempt, self.available, self.reports.append)


@pytest.mark.parametrize("outage", [NO_CONNECTION, LinkLost("The connection was lost.")], ids=["no connection", "lost"])
async def test_after_an_outage_the_attempt_is_repeated(outage: InnkeeperError) -> None:
    region = Region(outage, outage)
    assert await region.run() == "composed"
    assert region.attempts == 3
    assert len(region.reports) == 2


@pytest.mark.parametrize("rejection", [FULL, InnkeeperError("No such zone.", status=400)], ids=["503", "400"])
async def test_a_rejected_request_is_not_repeated(rejection: InnkeeperError) -> None:
    region = Region(rejection)
    with pytest.raises(InnkeeperError, match=rejection.message):
        await region.run()
    assert region.attempts == 1


async def test_a_503_without_a_rack_is_an_outage() -> None:
    class NoRackAtFirst(Region):
        async def available(self) -> bool:
            self._available, before = True, self._available
            return before

    region = NoRackAtFirst(NO_RACK, available=False)
    assert await region.run() == "composed"
    assert region.attempts == 2


async def test_too_many_outages_raise_the_last_error() -> None:
    region = Region(*[NO_CONNECTION] * (MAX_OUTAGES + 1))
    with pytest.raises(InnkeeperError, match="connection refused"):
        await region.run()
    assert region.attempts == MAX_OUTAGES + 1

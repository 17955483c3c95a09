"""Calls to a host whose credentials change, and whose racks come and go, while they are under way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from common.errors import AnswerRefused, HostUnreachable, InnkeeperError, NotKnownHere, NotTrusted, Unsupported
from common.rpc.commands import HOST_REACH, Command, HostCall, Reached
from common.values import DriverType, HostAccess
from regiond.racks.calls import HostCalls
from regiond.racks.model import AwayRack, RackCandidate

RACK, LATER = uuid4(), uuid4()
NAMES = {RACK: "rack", LATER: "later"}


def access(key: str) -> HostAccess:
    return HostAccess(
        host_id=1, driver=DriverType.LXD, address="https://h:8443", installation_id=uuid4(), credentials={"key": key}
    )


class OneRack:
    """Reach and links of one rack; the host at its other end trusts `trusted` alone."""

    def __init__(self, *keys: str, trusted: str) -> None:
        self._keys = list(keys)
        self._trusted = trusted
        self.asked: list[str] = []
        self.rack_ids = (RACK,)

    async def access_of(self, _: int) -> HostAccess:
        return access(self._keys.pop(0) if len(self._keys) > 1 else self._keys[0])

    async def racks_for(self, _: int) -> Sequence[RackCandidate]:
        return (RackCandidate(rack_id=RACK, name="rack", here=True, reaches=True),)

    async def away_from(self, _: int) -> Sequence[AwayRack]:
        return ()

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> bool:
        return False

    async def refused(self, rack_id: str, host_id: int, why: str) -> None:
        raise AssertionError(why)

    def get(self, _: UUID) -> OneRack:
        return self

    async def call(self, command: Command[Any, Any], request: HostCall, *, deadline_s: float) -> Reached:
        self.asked.append(request.access.credentials["key"])
        if self.asked[-1] != self._trusted:
            raise NotTrusted("not this one")
        return Reached(hypervisor_version="5.0")


async def reach(rack: OneRack) -> Reached:
    calls = HostCalls(cast(Any, rack), rack, rack.access_of)
    return await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)


async def test_a_call_that_was_overtaken_by_a_rotation_is_asked_again_with_the_new_pair() -> None:
    rack = OneRack("old", "new", trusted="new")
    await reach(rack)
    assert rack.asked == ["old", "new"]


async def test_a_call_is_asked_again_as_often_as_it_is_overtaken() -> None:
    rack = OneRack("old", "new", "newest", trusted="newest")
    await reach(rack)
    assert rack.asked == ["old", "new", "newest"]


async def test_a_host_that_does_not_trust_us_is_asked_once() -> None:
    rack = OneRack("old", trusted="new")
    with pytest.raises(NotTrusted):
        await reach(rack)
    assert rack.asked == ["old"]


class Failing:
    """A rack's link that does not get to the host; meanwhile another rack comes."""

    def __init__(self, racks: RacksThatCome, error: InnkeeperError) -> None:
        self._racks = racks
        self._error = error

    async def call(self, command: Command[Any, Any], request: HostCall, *, deadline_s: float) -> Reached:
        self._racks.come()
        raise self._error


class Working:
    async def call(self, command: Command[Any, Any], request: HostCall, *, deadline_s: float) -> Reached:
        return Reached(hypervisor_version="5.0")


class RacksThatCome:
    """Reach and links: at first only one is connected, which fails with `error`."""

    def __init__(self, *, comes: bool, error: InnkeeperError) -> None:
        self._links: dict[UUID, Failing | Working] = {RACK: Failing(self, error)}
        self._comes = comes
        self.unreached: list[UUID] = []
        self.not_believed: list[str] = []

    def come(self) -> None:
        if self._comes:
            self._links[LATER] = Working()

    @property
    def rack_ids(self) -> tuple[UUID, ...]:
        return tuple(self._links)

    async def access_of(self, _: int) -> HostAccess:
        return access("key")

    async def racks_for(self, _: int) -> Sequence[RackCandidate]:
        return [RackCandidate(rack_id=rack_id, name=NAMES[rack_id], here=True) for rack_id in self._links]

    async def away_from(self, _: int) -> Sequence[AwayRack]:
        return (AwayRack(name="later", seen_at=datetime(2026, 11, 20, 12, 0, tzinfo=UTC)),)

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> bool:
        if error is not None:
            self.unreached.append(UUID(rack_id))
        return True

    async def refused(self, rack_id: str, host_id: int, why: str) -> None:
        self.not_believed.append(why)

    def get(self, rack_id: UUID) -> Failing | Working:
        return self._links[rack_id]


async def test_a_rack_that_comes_while_another_fails_is_asked_at_once() -> None:
    racks = RacksThatCome(comes=True, error=HostUnreachable("refused"))
    calls = HostCalls(cast(Any, racks), racks, racks.access_of)
    assert await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)


async def test_a_host_whose_rack_is_away_says_which_and_what_the_others_met() -> None:
    racks = RacksThatCome(comes=False, error=HostUnreachable("refused"))
    calls = HostCalls(cast(Any, racks), racks, racks.access_of)
    with pytest.raises(HostUnreachable) as failed:
        await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)
    assert failed.value.message == (
        "No connected rack reaches VM host 1. Not connected, but reached it: later (last seen 2026-11-20 12:00:00 "
        "UTC). Rack rack: refused"
    )


async def test_what_a_host_cannot_do_is_the_hosts_answer_and_no_other_rack_is_asked() -> None:
    racks = RacksThatCome(comes=True, error=Unsupported("no huge pages of that size"))
    calls = HostCalls(cast(Any, racks), racks, racks.access_of)
    with pytest.raises(Unsupported, match="huge pages"):
        await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)
    assert racks.unreached == []


async def test_a_rack_without_the_driver_does_not_reach_the_host_and_another_is_asked() -> None:
    racks = RacksThatCome(comes=True, error=NotKnownHere("no driver for LXD"))
    calls = HostCalls(cast(Any, racks), racks, racks.access_of)
    assert await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)
    assert racks.unreached == [RACK]
    assert racks.not_believed == []


async def test_a_rack_that_tells_what_cannot_be_is_recorded_and_another_is_asked() -> None:
    racks = RacksThatCome(comes=True, error=AnswerRefused("it told of another machine"))
    calls = HostCalls(cast(Any, racks), racks, racks.access_of)
    assert await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)
    assert (racks.unreached, racks.not_believed) == ([RACK], ["it told of another machine"])

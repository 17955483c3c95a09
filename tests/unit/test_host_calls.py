"""Calls to a host whose credentials and racks change during the call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from common.errors import HostUnreachable, InnkeeperError, NotTrusted, ResponseRejected, Unsupported, UnsupportedByPeer
from common.rpc.commands import HOST_REACH, Command, HostCall, Reached
from common.values import DriverType, HostAccess
from regiond.racks.host_calls import HostCalls, nothing_began
from regiond.racks.model import DisconnectedRack, RackCandidate

RACK, LATER = uuid4(), uuid4()
NAMES = {RACK: "rack", LATER: "later"}


def access(key: str) -> HostAccess:
    return HostAccess(
        host_id=1, driver=DriverType.LXD, address="https://h:8443", installation_id=uuid4(), credentials={"key": key}
    )


class OneRack:
    """The reach records and the link of one rack. The host trusts only `trusted`."""

    def __init__(self, *keys: str, trusted: str) -> None:
        self._keys = list(keys)
        self._trusted = trusted
        self.keys_tried: list[str] = []
        self.rack_ids = (RACK,)

    async def access_of(self, _: int) -> HostAccess:
        return access(self._keys.pop(0) if len(self._keys) > 1 else self._keys[0])

    async def racks_for(self, _: int) -> Sequence[RackCandidate]:
        return (RackCandidate(rack_id=RACK, name="rack", here=True, reaches=True),)

    async def disconnected_racks(self, _: int) -> Sequence[DisconnectedRack]:
        return ()

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> bool:
        return False

    async def record_rejection(self, rack_id: str, host_id: int, why: str) -> None:
        raise AssertionError(why)

    def get(self, _: UUID) -> OneRack:
        return self

    async def call(self, command: Command[Any, Any], request: HostCall, *, deadline_s: float) -> Reached:
        self.keys_tried.append(request.access.credentials["key"])
        if self.keys_tried[-1] != self._trusted:
            raise NotTrusted("not this one")
        return Reached(hypervisor_version="5.0")


async def reach(rack: OneRack) -> Reached:
    calls = HostCalls(cast(Any, rack), rack, rack.access_of)
    return await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)


@pytest.mark.parametrize("keys", [("old", "new"), ("old", "new", "newest")])
async def test_a_call_is_repeated_after_every_rotation(keys: tuple[str, ...]) -> None:
    rack = OneRack(*keys, trusted=keys[-1])
    await reach(rack)
    assert rack.keys_tried == list(keys)


async def test_a_host_that_rejects_the_credentials_is_called_once() -> None:
    rack = OneRack("old", trusted="new")
    with pytest.raises(NotTrusted):
        await reach(rack)
    assert rack.keys_tried == ["old"]


class Failing:
    """The link of a rack whose call fails. During the call another rack connects."""

    def __init__(self, racks: SecondRackConnects, error: InnkeeperError) -> None:
        self._racks = racks
        self._error = error

    async def call(self, command: Command[Any, Any], request: HostCall, *, deadline_s: float) -> Reached:
        self._racks.connect_second()
        raise self._error


class Working:
    async def call(self, command: Command[Any, Any], request: HostCall, *, deadline_s: float) -> Reached:
        return Reached(hypervisor_version="5.0")


class SecondRackConnects:
    """The reach records and links of two racks: during the first one's call, which fails, the second may connect."""

    def __init__(self, *, connects: bool, error: InnkeeperError) -> None:
        self._links: dict[UUID, Failing | Working] = {RACK: Failing(self, error)}
        self._connects = connects
        self.unreached: list[UUID] = []
        self.rejections: list[str] = []

    def connect_second(self) -> None:
        if self._connects:
            self._links[LATER] = Working()

    @property
    def rack_ids(self) -> tuple[UUID, ...]:
        return tuple(self._links)

    async def access_of(self, _: int) -> HostAccess:
        return access("key")

    async def racks_for(self, _: int) -> Sequence[RackCandidate]:
        return [RackCandidate(rack_id=rack_id, name=NAMES[rack_id], here=True) for rack_id in self._links]

    async def disconnected_racks(self, _: int) -> Sequence[DisconnectedRack]:
        return (DisconnectedRack(name="later", seen_at=datetime(2026, 11, 20, 12, 0, tzinfo=UTC)),)

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> bool:
        if error is not None:
            self.unreached.append(UUID(rack_id))
        return True

    async def record_rejection(self, rack_id: str, host_id: int, why: str) -> None:
        self.rejections.append(why)

    def get(self, rack_id: UUID) -> Failing | Working:
        return self._links[rack_id]


@pytest.mark.parametrize(
    ("error", "rejections"),
    [
        (HostUnreachable("no route"), []),
        (UnsupportedByPeer("no driver for LXD"), []),
        (ResponseRejected("it names another machine"), ["it names another machine"]),
    ],
    ids=["host unreachable", "rack without the driver", "implausible response"],
)
async def test_a_rack_that_connects_during_a_failing_call_is_tried(
    error: InnkeeperError, rejections: list[str]
) -> None:
    racks = SecondRackConnects(connects=True, error=error)
    calls = HostCalls(cast(Any, racks), racks, racks.access_of)
    assert await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)
    assert (racks.unreached, racks.rejections) == ([RACK], rejections)


async def test_the_error_names_disconnected_racks_and_other_errors() -> None:
    racks = SecondRackConnects(connects=False, error=HostUnreachable("no route"))
    calls = HostCalls(cast(Any, racks), racks, racks.access_of)
    with pytest.raises(HostUnreachable) as failed:
        await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)
    assert failed.value.message == (
        "No connected rack reaches VM host 1. Disconnected racks that reached it: later (last seen 2026-11-20 12:00:00 "
        "UTC). Rack rack: no route"
    )


async def test_an_unsupported_request_is_not_tried_through_other_racks() -> None:
    racks = SecondRackConnects(connects=True, error=Unsupported("no huge pages of that size"))
    calls = HostCalls(cast(Any, racks), racks, racks.access_of)
    with pytest.raises(Unsupported, match="huge pages"):
        await calls.call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)
    assert racks.unreached == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (HostUnreachable("a", nothing_began=True), HostUnreachable("b", nothing_began=True), True),
        (HostUnreachable("a"), HostUnreachable("b", nothing_began=True), False),
        (HostUnreachable("a", nothing_began=True), HostUnreachable("b"), False),
        (HostUnreachable("a"), NotTrusted("b", nothing_began=True), False),
        (UnsupportedByPeer("a"), NotTrusted("b", nothing_began=True), True),
    ],
)
async def test_nothing_began_only_if_it_is_true_of_every_rack(
    first: InnkeeperError, second: InnkeeperError, expected: bool
) -> None:
    racks = TwoRacks(first, second)
    with pytest.raises(InnkeeperError) as failed:
        await reach(cast(Any, racks))
    assert nothing_began(failed.value) is expected


class TwoRacks:
    """Two connected racks that fail with one error each; no other rack connects."""

    def __init__(self, *errors: InnkeeperError) -> None:
        self._errors = dict(zip((RACK, LATER), errors, strict=True))
        self.rack_ids = (RACK, LATER)

    async def access_of(self, _: int) -> HostAccess:
        return access("key")

    async def racks_for(self, _: int) -> Sequence[RackCandidate]:
        return tuple(RackCandidate(rack_id=id_, name=str(id_), here=True, reaches=True) for id_ in self.rack_ids)

    async def disconnected_racks(self, _: int) -> Sequence[DisconnectedRack]:
        return ()

    async def record_reach(self, *_: Any) -> bool:
        return False

    def connect_second(self) -> None:
        """Does nothing."""

    def get(self, rack_id: UUID) -> Failing:
        return Failing(cast(Any, self), self._errors[rack_id])

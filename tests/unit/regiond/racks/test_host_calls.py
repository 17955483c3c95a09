"""Calls to a host whose credentials and racks change during the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import frozen

from common.errors import (
    DeadlineExceeded,
    HostUnreachable,
    InnkeeperError,
    NotTrusted,
    RackUnreachable,
    ResponseRejected,
    StaleAttempt,
    Unsupported,
    UnsupportedByPeer,
)
from common.rpc.commands.command import Command
from common.rpc.commands.host_commands import HOST_IDENTIFY, HOST_REACH, DiscoveryPart, Fence, HostCall, Reached
from common.rpc.link import Link
from common.values import DriverType, HostAccess, PeerIdentity
from common.words.hidden_text import revealed
from regiond.racks.calls.access_guard import AccessGuard, HostRequest
from regiond.racks.calls.host_calls import HostCalls, nothing_began
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.reach_model import AwaitedRack, DisconnectedRack, RackCandidate, RecordedReach, WaitLimits
from regiond.racks.unreachable import ZoneCoverage
from tests.doubles.signatures import in_place_of

RACK, LATER = uuid4(), uuid4()
NAMES = {RACK: "rack", LATER: "later"}
NO_COMMAND = UnsupportedByPeer("the peer does not have the command host.new", method="host.new")
REACHED = Reached(hypervisor_version="5.0")


@frozen(eq=False)
class RackLink:
    """The link of a rack that responds to each call with `respond`. It ends discovery before the last part."""

    respond: Callable[[HostCall], Any]
    is_open: bool = True
    peer: str = "rack rack"

    async def call(self, command: Command[Any, Any], request: HostCall, *, deadline_s: float) -> Any:
        return self.respond(request)

    async def stream(
        self, command: Command[Any, Any], request: HostCall, *, deadline_s: float
    ) -> AsyncGenerator[Any, None]:
        yield DiscoveryPart()


class ConnectedRacks:
    """The reach records and links of connected racks. Each read of the host's access has the next of `keys`."""

    def __init__(self, *keys: str, disconnected: tuple[DisconnectedRack, ...] = ()) -> None:
        self._keys = list(keys) or ["key"]
        self._disconnected = disconnected
        self.links = LiveLinks()
        self.unreached: list[UUID] = []
        self.rejections: list[str] = []
        self.failures: list[InnkeeperError] = []
        self.lost: Sequence[AwaitedRack] = ()

    def connect(self, rack_id: UUID, respond: Callable[[HostCall], Any]) -> None:
        self.links.add(rack_id, in_place_of(Link, RackLink(respond)))

    def connect_failing(self, rack_id: UUID, error: InnkeeperError, *, meanwhile: UUID | None = None) -> None:
        """Connects a rack whose calls fail; during such a call, the rack `meanwhile` connects."""

        def respond(_: HostCall) -> Reached:
            if meanwhile is not None:
                self.connect(meanwhile, lambda _: REACHED)
            raise error

        self.connect(rack_id, respond)

    def calls(self) -> HostCalls:
        return HostCalls(self.links, self, in_place_of(AccessGuard, self), self._access_of, self)

    async def reach_host(self) -> Reached:
        return await self.calls().call(1, HOST_REACH, lambda given: HostCall(access=given), deadline_s=1.0)

    async def _access_of(self, _: int) -> HostAccess:
        key = self._keys.pop(0) if len(self._keys) > 1 else self._keys[0]
        return HostAccess(
            host_id=1, driver=DriverType.LXD, address="https://h", installation_id=uuid4(), credentials={"key": key}
        )

    async def racks_for(self, _: int) -> Sequence[RackCandidate]:
        return [RackCandidate(rack_id=rack_id, name=NAMES[rack_id], here=True) for rack_id in self.links.open]

    async def racks_to_wait_for(
        self, host_id: int, waits: WaitLimits, *, ended: Collection[UUID], running: Collection[UUID]
    ) -> Sequence[AwaitedRack]:
        return () if RACK in ended else self.lost

    async def racks_that_may_have_called(
        self, host_id: int, *, since: datetime, until: datetime | None, ended: Collection[UUID]
    ) -> Sequence[str]:
        return [rack.name for rack in self.lost if rack.rack_id not in ended]

    async def disconnected_racks(self, _: int, *, linked: Collection[UUID]) -> Sequence[DisconnectedRack]:
        return self._disconnected

    async def zone_coverage(self, _: int) -> ZoneCoverage:
        return ZoneCoverage(host="hv-01", zone="default", served=True)

    async def admit(self, rack_id: UUID, link: Link, host_id: int, request: HostRequest) -> None:
        """Every rack may have the credentials."""

    async def holds(self, rack_id: UUID, host_id: int, request: HostRequest) -> bool:
        return True

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> RecordedReach:
        if error is not None:
            self.unreached.append(UUID(rack_id))
        return RecordedReach(changed=True)

    async def call_failed(self, host_id: int, error: InnkeeperError, *, began_at: float) -> None:
        self.failures.append(error)

    async def request_refresh(self, host_id: int) -> None:
        raise AssertionError("the host is not in doubt")

    async def record_rejection(self, rack_id: str, host_id: int, why: str) -> None:
        self.rejections.append(why)


class TrustingHost:
    """A host that trusts one key, behind a rack."""

    def __init__(self, trusted: str) -> None:
        self._trusted = trusted
        self.keys_tried: list[str] = []

    def respond(self, request: HostCall) -> Reached:
        self.keys_tried.append(request.access.credentials["key"])
        if self.keys_tried[-1] != self._trusted:
            raise NotTrusted("not this one")
        return REACHED


@pytest.mark.parametrize("keys", [("old", "new"), ("old", "new", "newest")])
async def test_a_call_is_repeated_after_every_rotation(keys: tuple[str, ...]) -> None:
    racks, host = ConnectedRacks(*keys), TrustingHost(keys[-1])
    racks.connect(RACK, host.respond)
    await racks.reach_host()
    assert host.keys_tried == list(keys)


async def test_a_host_that_rejects_the_credentials_is_called_once() -> None:
    racks, host = ConnectedRacks("old"), TrustingHost("new")
    racks.connect(RACK, host.respond)
    with pytest.raises(NotTrusted):
        await racks.reach_host()
    assert host.keys_tried == ["old"]


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
    racks = ConnectedRacks()
    racks.connect_failing(RACK, error, meanwhile=LATER)
    assert await racks.reach_host()
    assert (racks.unreached, racks.rejections) == ([RACK], rejections)


async def test_rejected_responses_name_the_host() -> None:
    racks = ConnectedRacks()
    racks.connect(RACK, lambda _: PeerIdentity(kind="TLS certificate", fingerprint="f", material="none"))
    calls = racks.calls()
    with pytest.raises(ResponseRejected):
        await calls.call(1, HOST_IDENTIFY, lambda given: HostCall(access=given), deadline_s=1.0)
    with pytest.raises(ResponseRejected):
        await calls.discover(1, deadline_s=1.0)
    identified, discovered = racks.rejections
    assert "rack rack sent an implausible response to host.identify on VM host hv-01: its TLS" in revealed(identified)
    assert discovered == "rack rack ended its discovery of VM host hv-01 before the last part."


async def test_a_rack_that_reconnects_between_the_two_reads_of_racks_is_tried() -> None:
    """Else the error of the other rack, which ends the operation, would be the answer."""

    class Reconnecting(ConnectedRacks):
        async def disconnected_racks(self, _: int, *, linked: Collection[UUID]) -> Sequence[DisconnectedRack]:
            self.connect(LATER, lambda _: REACHED)
            return ()

    racks = Reconnecting()
    racks.connect_failing(RACK, UnsupportedByPeer("no such driver"))
    assert await racks.reach_host() == REACHED


async def test_a_rack_with_a_link_is_not_disconnected() -> None:
    """Its row in the database may be missing still, as it may be there still after the link."""

    class WithoutRows(ConnectedRacks):
        async def disconnected_racks(self, _: int, *, linked: Collection[UUID]) -> Sequence[DisconnectedRack]:
            return [DisconnectedRack(name=name, seen_at=None) for rack, name in NAMES.items() if rack not in linked]

    racks = WithoutRows()
    for rack in NAMES:
        racks.connect_failing(rack, HostUnreachable("no route"))
    with pytest.raises(HostUnreachable, match=r"^no route$"):
        await racks.reach_host()


async def test_the_error_names_disconnected_racks_and_other_errors() -> None:
    later = DisconnectedRack(name="later", seen_at=datetime(2026, 11, 20, 12, 0, tzinfo=UTC))
    racks = ConnectedRacks(disconnected=(later,))
    racks.connect_failing(RACK, HostUnreachable("no route"))
    with pytest.raises(HostUnreachable) as failed:
        await racks.reach_host()
    assert failed.value.message == (
        "No connected rack reaches host hv-01. Disconnected racks that reached it: later (last seen 2026-11-20 "
        "12:00:00 UTC). Rack rack: no route"
    )


async def test_an_unsupported_request_is_not_tried_through_other_racks() -> None:
    racks = ConnectedRacks()
    racks.connect_failing(RACK, Unsupported("no huge pages of that size"), meanwhile=LATER)
    with pytest.raises(Unsupported, match="huge pages"):
        await racks.reach_host()
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
    racks = ConnectedRacks()
    for rack_id, error in ((RACK, first), (LATER, second)):
        racks.connect_failing(rack_id, error)
    with pytest.raises(InnkeeperError) as failed:
        await racks.reach_host()
    assert nothing_began(failed.value) is expected


async def test_only_a_host_that_no_rack_reached_is_reported() -> None:
    racks = ConnectedRacks()
    racks.connect_failing(RACK, HostUnreachable("no route"), meanwhile=LATER)
    await racks.reach_host()
    assert racks.failures == []
    racks = ConnectedRacks()
    racks.connect_failing(RACK, UnsupportedByPeer("no driver for LXD"))
    with pytest.raises(UnsupportedByPeer):
        await racks.reach_host()
    assert racks.failures == []
    racks = ConnectedRacks()
    racks.connect_failing(RACK, HostUnreachable("no route"))
    with pytest.raises(HostUnreachable):
        await racks.reach_host()
    assert [error.message for error in racks.failures] == ["no route"]


async def test_a_rack_that_lacks_a_command_says_nothing_about_the_host() -> None:
    racks = ConnectedRacks()
    racks.connect_failing(RACK, NO_COMMAND)
    with pytest.raises(UnsupportedByPeer, match=r"rack rack is of an older release, .* Upgrade it: apt-get install"):
        await racks.reach_host()
    assert (racks.unreached, racks.failures) == ([], [])


async def test_a_command_that_the_connected_racks_lack_waits_for_another_rack() -> None:
    racks = ConnectedRacks(disconnected=(DisconnectedRack(name="later", seen_at=None),))
    racks.connect_failing(RACK, NO_COMMAND)
    with pytest.raises(RackUnreachable, match=r"reached it: later.* rack rack is of an older release"):
        await racks.reach_host()
    assert (racks.unreached, racks.failures) == ([], [])


async def test_a_rack_that_does_not_answer_delays_no_other_disconnect() -> None:
    waiting, disconnected = asyncio.Event(), asyncio.Event()

    class Slow(RackLink):
        async def call(self, command: Command[Any, Any], request: Any, *, deadline_s: float) -> Any:
            waiting.set()
            await disconnected.wait()

    class Fast(RackLink):
        async def call(self, command: Command[Any, Any], request: Any, *, deadline_s: float) -> Any:
            await waiting.wait()
            disconnected.set()

    racks = ConnectedRacks()
    racks.links.add(RACK, in_place_of(Link, Slow(lambda _: REACHED)))
    racks.links.add(LATER, in_place_of(Link, Fast(lambda _: REACHED)))
    async with asyncio.timeout(60):
        await racks.calls().disconnect(1)


async def test_a_rack_of_an_older_release_is_waited_for_as_one_that_cannot_be_asked() -> None:
    racks = ConnectedRacks()
    racks.connect_failing(RACK, UnsupportedByPeer("no such command"))
    racks.lost = [AwaitedRack(rack_id=RACK, name="rack", lost_s=60.0)]
    fence = Fence(machine_id=str(uuid4()), operation_id=2, attempt=1)
    with pytest.raises(RackUnreachable, match=r"may still run in rack rack, which .* It is waited for at most 60 s\."):
        await racks.calls().exclude_older(1, fence, since=datetime.now(UTC))
    racks.lost = ()
    assert await racks.calls().exclude_older(1, fence, since=datetime.now(UTC)) == ()


async def test_racks_that_do_not_answer_may_still_run_a_call() -> None:
    racks = ConnectedRacks()
    racks.connect(RACK, lambda _: REACHED)
    racks.connect_failing(LATER, DeadlineExceeded("it still runs"))
    racks.lost = [AwaitedRack(rack_id=one, name=NAMES[one], lost_s=60.0) for one in (RACK, LATER)]
    fence = Fence(machine_id=str(uuid4()), operation_id=2, attempt=1)
    found = await racks.calls().racks_with_older_calls(1, fence, since=datetime.now(UTC))
    assert found == (NAMES[LATER],)


async def test_a_newer_attempt_ends_the_older_one_that_asks_racks() -> None:
    racks = ConnectedRacks()
    racks.connect_failing(RACK, StaleAttempt("attempt 2 has started"))
    fence = Fence(machine_id=str(uuid4()), operation_id=2, attempt=1)
    with pytest.raises(StaleAttempt):
        await racks.calls().exclude_older(1, fence, since=datetime.now(UTC))


async def test_a_call_without_a_deadline_has_that_of_its_command() -> None:
    deadlines: list[float] = []

    class Recording(RackLink):
        async def call(self, command: Command[Any, Any], request: Any, *, deadline_s: float) -> Any:
            deadlines.append(deadline_s)
            return self.respond(request)

    racks = ConnectedRacks()
    racks.links.add(RACK, in_place_of(Link, Recording(lambda _: REACHED)))
    await racks.calls().call(1, HOST_REACH, lambda given: HostCall(access=given))
    await racks.reach_host()
    assert deadlines == [HOST_REACH.deadline_s, 1.0]

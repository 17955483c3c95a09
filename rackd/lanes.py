"""What the executor keeps for each host: connections that are used by one thread at a time, and who may go next."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

import structlog
from attrs import define, field

from common.errors import HostUnreachable, InnkeeperError
from common.values import HostAccess
from rackd.drivers.contract import Driver

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

T = TypeVar("T")

OpenDriver = Callable[[HostAccess], Driver]


class Track(StrEnum):
    """The kinds of call to a host, each with connections of its own: one, unless said otherwise, used in turn."""

    ORDERED = "ordered"  # everything that changes the host, and discovery
    QUICK = "quick"  # short looks: on the ordered connection when that is idle, beside it when it is not
    PATIENT = "patient"  # waits for a guest to shut itself down: several beside each other, beside everything else
    WATCH = "watch"  # events: giving up a call must not end the watch


PATIENT_LINES = 4


class Connection:
    """A driver that stays open between calls. Blocks, so it is for the executor's threads, one at a time."""

    def __init__(self, open_driver: OpenDriver) -> None:
        self._open_driver = open_driver
        self._driver: Driver | None = None
        self._access: HostAccess | None = None

    @property
    def is_open(self) -> bool:
        return self._driver is not None

    def call(self, access: HostAccess, work: Callable[[Driver], T]) -> T:
        """`work` on an open driver: a new one when the access is another, or when the host was lost the last time."""
        if self._access != access:
            self.close()
        if self._driver is None:
            self._driver, self._access = self._open_driver(access), access
        try:
            return work(self._driver)
        except HostUnreachable:
            self.close()
            raise

    def close(self) -> None:
        """Harmless to repeat. The credentials are dropped with the driver."""
        driver, self._driver, self._access = self._driver, None, None
        if driver is not None:
            try:
                driver.close()
            except InnkeeperError as error:
                log.warning("driver_not_closed_cleanly", error=str(error))


def close_apart(connection: Connection) -> threading.Thread:
    """Close in a thread of its own: a host that hangs may take long even for this."""
    thread = threading.Thread(target=connection.close, name="close-driver", daemon=True)
    thread.start()
    return thread


@define(eq=False)
class Call:
    """One call in a thread. All fields belong to the event loop."""

    what: str
    machine_id: UUID | None
    connection: Connection
    started_at: float  # on the event loop's clock
    finished: asyncio.Event = field(factory=asyncio.Event)
    given_up: bool = False
    retired: bool = False  # close the connection when it comes back


@define(eq=False)
class Line:
    """One track of one host: at most one call holds it, the others wait in order."""

    open_driver: OpenDriver
    connection: Connection
    _turn: asyncio.Lock = field(factory=asyncio.Lock)
    wanted: int = 0
    running: Call | None = None

    @property
    def is_idle(self) -> bool:
        """Nobody holds it or waits for it."""
        return not self.wanted

    async def enter(self) -> None:
        self.wanted += 1
        try:
            await self._turn.acquire()
        except BaseException:
            self.wanted -= 1
            raise

    def leave(self) -> None:
        self.running = None
        self.wanted -= 1
        self._turn.release()

    def replace_connection(self) -> None:
        self.connection = Connection(self.open_driver)

    def retire(self) -> threading.Thread | None:
        """Close the connection, now (in the thread returned) or when its call comes back."""
        old = self.connection
        self.replace_connection()
        if self.running is not None and self.running.connection is old:
            self.running.retired = True
            return None
        return close_apart(old) if old.is_open else None


class Lane:
    """Everything of one host."""

    def __init__(self, open_driver: OpenDriver) -> None:
        def lines(number: int) -> tuple[Line, ...]:
            return tuple(Line(open_driver, Connection(open_driver)) for _ in range(number))

        self._lines = {track: lines(PATIENT_LINES if track is Track.PATIENT else 1) for track in Track}
        self.given_up: set[Call] = set()
        self.forgotten = False

    @property
    def is_idle(self) -> bool:
        return not self.given_up and all(line.is_idle for line in self.lines())

    def lines(self, of: Track | None = None) -> tuple[Line, ...]:
        return tuple(line for track, lines in self._lines.items() if of in {None, track} for line in lines)

    def line_for(self, track: Track) -> Line:
        """The one to stand in: the shortest of its track."""
        (ordered,) = self._lines[Track.ORDERED]
        if track is Track.QUICK and ordered.is_idle:
            return ordered
        return min(self._lines[track], key=lambda line: line.wanted)

    def acting_on(self, machine_id: UUID | None) -> Call | None:
        """The call that acts on this machine, perhaps one that nobody waits for any more."""
        running = (line.running for line in self.lines())
        calls = [*self.given_up, *(call for call in running if call)]
        return next((call for call in calls if machine_id and call.machine_id == machine_id), None)

"""Queues the calls to one host: slots with one connection each, by class of call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar
from uuid import UUID

import structlog
from attrs import define, field

from common.errors import HostUnreachable, InnkeeperError
from common.rpc.commands.host_method import CallClass
from common.values import DriverType, HostAccess
from rackd.drivers.contract import Driver

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

T = TypeVar("T")

OpenDriver = Callable[[HostAccess], Driver]


LONG_RUNNING_SLOTS = 4


class Connection:
    """A driver that stays open between calls. Its methods block; only one thread uses it at a time."""

    def __init__(self, open_driver: OpenDriver) -> None:
        self._open_driver = open_driver
        self._driver: Driver | None = None
        self._access: HostAccess | None = None

    @property
    def is_open(self) -> bool:
        return self._driver is not None

    @property
    def driver_type(self) -> DriverType | None:
        """The type of the open driver."""
        access = self._access  # a thread may close the connection meanwhile
        return None if access is None or self._driver is None else access.driver

    def call(self, access: HostAccess, work: Callable[[Driver], T]) -> T:
        """Runs `work` on an open driver. Opens a new one if `access` changed or the last call lost the host."""
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
        """Closes the driver and drops its credentials. Idempotent."""
        driver, self._driver, self._access = self._driver, None, None
        if driver is not None:
            try:
                driver.close()
            except InnkeeperError as error:
                log.warning("driver_close_failed", reason=str(error))


def close_in_thread(connection: Connection) -> threading.Thread:
    """Returns the started thread. Closing a connection to a hung host can block."""
    thread = threading.Thread(target=connection.close, name="close-driver", daemon=True)
    thread.start()
    return thread


@define(eq=False)
class Call:
    """One call in a thread. Only the event loop changes its fields."""

    what: str
    machine_id: UUID | None
    connection: Connection
    started_at: float  # on the event loop's clock
    finished: asyncio.Event = field(factory=asyncio.Event)
    abandoned: bool = False
    close_when_finished: bool = False


@define(eq=False)
class Slot:
    """One connection of a call class: one call holds it, the others wait in order."""

    open_driver: OpenDriver
    connection: Connection
    _lock: asyncio.Lock = field(factory=asyncio.Lock)
    demand: int = 0  # calls that hold the slot or wait for it
    running: Call | None = None

    @property
    def is_idle(self) -> bool:
        return not self.demand

    async def acquire(self) -> None:
        self.demand += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self.demand -= 1
            raise

    def release(self) -> None:
        self.running = None
        self.demand -= 1
        self._lock.release()

    def replace_connection(self) -> None:
        self.connection = Connection(self.open_driver)

    def reset(self) -> threading.Thread | None:
        """Replaces the connection. Closes the old one now, in the returned thread, or when its call finishes."""
        old = self.connection
        self.replace_connection()
        if self.running is not None and self.running.connection is old:
            self.running.close_when_finished = True
            return None
        return close_in_thread(old) if old.is_open else None


class HostQueue:
    """The slots and abandoned calls of one host."""

    def __init__(self, open_driver: OpenDriver) -> None:
        def new_slots(number: int) -> tuple[Slot, ...]:
            return tuple(Slot(open_driver, Connection(open_driver)) for _ in range(number))

        self._slots = {one: new_slots(LONG_RUNNING_SLOTS if one is CallClass.LONG_RUNNING else 1) for one in CallClass}
        self.abandoned: set[Call] = set()
        self.is_closing = False

    @property
    def is_idle(self) -> bool:
        return not self.abandoned and all(slot.is_idle for slot in self.slots())

    @property
    def open_driver_type(self) -> DriverType | None:
        """The type of the host's driver if one of the slots has an open connection."""
        return next((found for slot in self.slots() if (found := slot.connection.driver_type)), None)

    def slots(self, of: CallClass | None = None) -> tuple[Slot, ...]:
        return tuple(slot for call_class, slots in self._slots.items() if of in {None, call_class} for slot in slots)

    def demanded_slots(self) -> Iterator[tuple[CallClass, Slot]]:
        """Yields the slots that a call holds or waits for, with their class."""
        for call_class, slots in self._slots.items():
            for slot in slots:
                if slot.demand:
                    yield call_class, slot

    def slot_for(self, call_class: CallClass) -> Slot:
        """Returns the least demanded slot of the class."""
        (ordered,) = self._slots[CallClass.ORDERED]
        if call_class is CallClass.QUICK and ordered.is_idle:
            return ordered
        return min(self._slots[call_class], key=lambda slot: slot.demand)

    def call_on(self, machine_id: UUID | None) -> Call | None:
        """Returns the running or abandoned call that acts on this machine."""
        running = (slot.running for slot in self.slots())
        calls = [*self.abandoned, *(call for call in running if call)]
        return next((call for call in calls if machine_id and call.machine_id == machine_id), None)

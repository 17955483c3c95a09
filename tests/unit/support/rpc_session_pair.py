"""Two sessions in lockstep: the test delivers every frame and sets the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define, field

from common.errors import InnkeeperError
from common.rpc.frames import Hello
from common.rpc.session import Limits, Session
from common.rpc.session_events import CallFailed, Output

T = TypeVar("T")

METHODS = {"echo": False, "list": True}


def hello(name: str, versions: tuple[int, int] = (1, 1), max_calls: int = 8) -> Hello:
    return Hello(lowest_version=versions[0], highest_version=versions[1], role="rack", name=name, max_calls=max_calls)


@define
class End:
    session: Session
    outputs: list[Output] = field(factory=list)

    def all(self, kind: type[T]) -> list[T]:
        return [output for output in self.outputs if isinstance(output, kind)]

    def last(self, kind: type[T]) -> T:
        return self.all(kind)[-1]


@define
class Pair:
    """Two ends and the time. `settle` delivers frames until none is left."""

    here: End
    there: End
    now: float = 0.0

    def settle(self) -> None:
        while self._deliver(self.here, self.there) + self._deliver(self.there, self.here):
            pass

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.here.session.tick(self.now)
        self.there.session.tick(self.now)
        self.settle()

    def call(self, method: str = "echo", body: Any = None, *, deadline_s: float = 10.0, window: int = 0) -> int:
        call_id = self.here.session.call(self.now, method, body, deadline_s=deadline_s, window=window)
        self.settle()
        return call_id

    def respond(self, call_id: int, body: Any = None) -> None:
        """The other end responds to a call of this end."""
        self.there.session.done(call_id, body)
        self.settle()

    def fail(self, call_id: int, error: InnkeeperError) -> None:
        """A call of this end fails at the other end."""
        self.there.session.fail(call_id, error)
        self.settle()

    @property
    def failure(self) -> InnkeeperError:
        """The error of this end's last failed call."""
        return self.here.last(CallFailed).error

    def at_rest(self) -> bool:
        ends = (self.here.session, self.there.session)
        return all(not end.calls_in and not end.calls_out and not end.timers for end in ends)

    def _deliver(self, sender: End, receiver: End) -> int:
        frames, outputs = sender.session.drain()
        sender.outputs += outputs
        for frame in frames:
            receiver.session.receive(frame, self.now)
        return len(frames) + len(outputs)


def pair(
    *,
    versions: tuple[int, int] = (1, 1),
    max_calls: int = 8,
    limits: Limits | None = None,
    methods: Mapping[str, bool] = METHODS,
) -> Pair:
    limits = limits or Limits(max_calls=max_calls)
    here = Session(hello=hello("here"), methods=METHODS, limits=Limits(), now=0.0)
    there = Session(hello=hello("there", versions, max_calls), methods=methods, limits=limits, now=0.0)
    connected = Pair(End(here), End(there))
    connected.settle()
    return connected

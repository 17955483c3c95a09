"""Begins and nests spans of traces, and ends them with the code of an error, without OpenTelemetry.

A trace begins at an entry of the daemon, which has a Tracer. All that runs for it gets child spans of the current span;
where none is current, nothing is created. So a daemon that exports no traces pays for looking up one context variable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum, auto
from typing import Protocol

import structlog

from common.errors import InnkeeperError, InternalError

Attributes = Mapping[str, str | int | float | bool]
NO_ATTRIBUTES: Attributes = {}


class Kind(Enum):
    """The role of a span, as OpenTelemetry defines it."""

    SERVER = auto()
    CLIENT = auto()
    INTERNAL = auto()


class Span(Protocol):
    """Work that has begun and is exported when it has ended. Use it in the event loop's thread."""

    @property
    def trace_id(self) -> str: ...

    @property
    def traceparent(self) -> str:
        """The span in the form of W3C Trace Context, which other processes continue."""

    @property
    def is_open(self) -> bool: ...

    def child(
        self, name: str, kind: Kind, attributes: Attributes = NO_ATTRIBUTES, links: Iterable[str] = ()
    ) -> Span | None:
        """Begins a span below this one. None if this one has ended: a task that lives on is no part of it."""

    def ended_child(self, name: str, kind: Kind, attributes: Attributes, *, took_s: float, code: str | None) -> None:
        """Records a span that ends now and began `took_s` ago; nothing if that was after the end of this one."""

    def describe(self, attributes: Attributes, *, name: str | None = None) -> None:
        """Adds attributes, and changes the name."""

    def end(self, code: str | None = None) -> None:
        """Ends the span; `code` is that of the error which ended it. Idempotent."""


class Tracer(Protocol):
    """Begins the spans at the entries of a daemon. None of them is below the current span."""

    def serve(
        self,
        name: str,
        kind: Kind,
        *,
        traceparent: str = "",
        trusted: bool = False,
        links: Iterable[str] = (),
        attributes: Attributes = NO_ATTRIBUTES,
    ) -> Span | None:
        """Begins a span that continues `traceparent`, or a trace. None if it is not sampled.

        A sender that is not `trusted` does not decide that its trace is sampled.
        """

    async def stop(self) -> None:
        """Exports what is queued, for a few seconds at most. Idempotent."""


class _NoTracer:
    def serve(self, name: str, kind: Kind, **_: object) -> None:
        return None

    async def stop(self) -> None:
        pass


NO_TRACES: Tracer = _NoTracer()

_current: ContextVar[Span | None] = ContextVar("innkeeper_span", default=None)


def current() -> Span | None:
    """Returns the span whose work runs here. It may have ended: then it has no more children."""
    return _current.get()


def become_current(span: Span | None) -> None:
    """Makes the span current in the rest of the task, or until the block of `active` around this ends."""
    _current.set(span)


def current_traceparent() -> str:
    """Returns the current span for a later attempt; empty without one, or if it has ended: a task lives longer."""
    span = _current.get()
    return span.traceparent if span is not None and span.is_open else ""


def describe_current(attributes: Attributes) -> None:
    """Adds attributes to the current span, if there is one."""
    if span := _current.get():
        span.describe(attributes)


@contextmanager
def active(span: Span | None) -> Iterator[Span | None]:
    """The span is current in the block, as is its trace in the log; it ends with the block.

    For an entry: also without a span, nothing that was current before is so in the block.
    """
    before = _current.set(span)
    try:
        if span is None:
            yield None
            return
        with structlog.contextvars.bound_contextvars(trace_id=span.trace_id), ending(span):
            yield span
    finally:
        _current.reset(before)


@contextmanager
def ending(span: Span | None) -> Iterator[Span | None]:
    """Ends the span with the block, and with the code of an error that leaves it."""
    try:
        yield span
    except BaseException as error:
        if span is not None:
            span.end(code_of(error))
        raise
    if span is not None:
        span.end()


@contextmanager
def below_current(name: str, kind: Kind, attributes: Attributes = NO_ATTRIBUTES) -> Iterator[Span | None]:
    """The block is a child of the current span, and current itself; without a current span it is only the block."""
    parent = _current.get()
    span = None if parent is None else parent.child(name, kind, attributes)
    if span is None:
        yield None
        return
    before = _current.set(span)
    try:
        with ending(span):
            yield span
    finally:
        _current.reset(before)


@contextmanager
def of_batch(name: str, parents: Iterable[Span | None]) -> Iterator[None]:
    """The block works for all `parents`: its span is below the first that is open, and has links to the others."""
    open_ones = list(dict.fromkeys(one for one in parents if one is not None and one.is_open))
    span = None
    if open_ones:
        span = open_ones[0].child(name, Kind.INTERNAL, links=[one.traceparent for one in open_ones[1:]])
    with active(span):
        yield


def code_of(error: BaseException) -> str:
    """Returns the code of an error, for spans and metrics; never its message, which can quote anything."""
    if isinstance(error, InnkeeperError):
        return error.code
    is_cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)  # a stream is closed before its end
    return "cancelled" if is_cancelled else InternalError.code

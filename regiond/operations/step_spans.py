"""The spans of one attempt at an operation: one for each step, below that of the attempt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.tracing.spans import Kind, Span, become_current, code_of, current


class StepSpans:
    """Create it where the span of the attempt is current. Without one, it does nothing."""

    def __init__(self) -> None:
        self._attempt: Span | None = current()
        self._step: Span | None = None

    def begin(self, name: str) -> None:
        """Ends the step before. What the handler does from now on belongs to this one."""
        if self._attempt is not None:
            self._end_step(None)
            self._step = self._attempt.child(name, Kind.INTERNAL)
            become_current(self._step or self._attempt)

    @contextmanager
    def of_handler(self) -> Iterator[None]:
        """The block is the handler: its last step ends with it, with the code of its error."""
        code = None
        try:
            yield
        except BaseException as error:
            code = code_of(error)
            raise
        finally:
            if self._attempt is not None:
                self._end_step(code)
                become_current(self._attempt)

    def end(self, state: str, code: str | None) -> None:
        """Ends the attempt, which has brought the operation into the state."""
        if self._attempt is not None:
            self._attempt.describe({"innkeeper.operation.state": state})
            self._attempt.end(code)

    def _end_step(self, code: str | None) -> None:
        if self._step is not None:
            self._step.end(code)
            self._step = None

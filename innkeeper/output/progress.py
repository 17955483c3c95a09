"""Reports the progress of an operation on standard error, while the command waits for it."""

from __future__ import annotations

import os
from typing import Protocol

from attrs import frozen

from innkeeper.output.terminal import Terminal
from innkeeper.output.text import printable, width_of

NOTE_AFTER_S = 120.0
_DEFAULT_WIDTH = 80
_CLEAR_LINE = "\r\x1b[2K"


@frozen(kw_only=True)
class Report:
    """One poll of the operation: its state, its step, and why it waits (empty if it acts or nothing is known)."""

    state: str
    step: str = ""
    reason: str = ""
    elapsed_s: float = 0.0

    @property
    def text(self) -> str:
        return (
            f"{self.state}: {self.step}, {self.elapsed_s:.0f} s"
            if self.step
            else f"{self.state}, {self.elapsed_s:.0f} s"
        )


class Progress(Protocol):
    def begin(self, text: str) -> None:
        """Called once, with what the operation does."""

    def report(self, report: Report) -> None:
        """Called after each poll."""

    def end(self) -> None:
        """Called when nothing more will be reported, also after an error."""


class StatusLine:
    """One line that is rewritten. A new reason gets a line of its own that stays and is never broken: it may have a
    command to paste."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._said = ""

    def begin(self, text: str) -> None:
        self._terminal.note(text)

    def report(self, report: Report) -> None:
        if report.reason and report.reason != self._said:
            self._said = report.reason
            self._write(_CLEAR_LINE)
            self._terminal.note(report.reason)
        self._write(_CLEAR_LINE + _clipped(printable(report.text, allowed=""), self._width()))

    def end(self) -> None:
        self._write(_CLEAR_LINE)

    def _write(self, text: str) -> None:
        self._terminal.err.write(text)
        self._terminal.err.flush()

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._terminal.err.fileno()).columns or _DEFAULT_WIDTH
        except (ValueError, OSError):
            return _DEFAULT_WIDTH


class LateNote:
    """Nothing for two minutes, then why it waits, again only if the reason changes: for the log of a script."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._what = ""
        self._said: str | None = None

    def begin(self, text: str) -> None:
        self._what = text

    def report(self, report: Report) -> None:
        if report.elapsed_s < NOTE_AFTER_S or report.reason == self._said:
            return
        self._said = report.reason
        why = report.reason or "The region knows no reason why it takes so long."
        self._terminal.note(f"{self._what} It is {report.text}. {why}")

    def end(self) -> None:
        pass


def progress_on(terminal: Terminal) -> Progress:
    """Reports on standard error: a status line if it is a terminal, otherwise a note after two minutes."""
    return StatusLine(terminal) if terminal.err.isatty() else LateNote(terminal)


def _clipped(text: str, width: int) -> str:
    """Shorter than the line, so that the terminal does not begin another."""
    while width_of(text) >= width:
        text = f"{text[:-2]}…"
    return text

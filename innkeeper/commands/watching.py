"""`--watch`: reads again and again and redraws the screen, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from attrs import frozen

from common.errors import InnkeeperError
from innkeeper.answer import Answer
from innkeeper.arguments import ApiCall, Options, Usage
from innkeeper.output.tables import json_text, paper_of, rendered
from innkeeper.output.terminal import Terminal
from innkeeper.output.text import printable
from innkeeper.view import WATCH_INTERVAL_S, View

# The alternate screen keeps what was on the terminal before; without line wrap a long line is cut, not continued.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?7l\x1b[?25l", "\x1b[?25h\x1b[?7h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN, _PLAIN = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[0m"


@frozen(kw_only=True)
class Watched:
    """A command that is repeated: how its result is shown, and how often."""

    command: str
    view: View
    interval_s: float = WATCH_INTERVAL_S


def watched(call: ApiCall, options: Options) -> Watched:
    """Raises Usage if the command changes something: it would do that again and again."""
    if call.action.method != "GET":
        raise Usage(f"--watch repeats a command that reads; {call.command} changes something.")
    return Watched(command=call.command, view=options.view, interval_s=options.view.watch_s or WATCH_INTERVAL_S)


async def watch(read: Callable[[], Awaitable[Answer]], what: Watched, terminal: Terminal) -> int:
    """Redraws what `read` returns until it is cancelled; then the last frame stays below the prompt.

    A region that does not answer is shown above the last answer and asked again. Raises Usage without a terminal,
    and the first error of another kind.
    """
    if not terminal.out.isatty():
        raise Usage("--watch needs a terminal: standard output is none.")
    lines = _lines(await read(), what, terminal)
    try:
        with _screen(terminal.out):
            error = ""
            while True:
                _draw(terminal.out, [_head(what, error), "", *lines])
                await asyncio.sleep(what.interval_s)
                try:
                    lines, error = _lines(await read(), what, terminal), ""
                except InnkeeperError as raised:
                    if not _is_transient(raised):
                        raise
                    error = raised.message
    finally:
        terminal.say("\n".join(lines))


def _lines(answer: Answer, what: Watched, terminal: Terminal) -> list[str]:
    if not answer.is_json:
        return printable(answer.text).splitlines()
    plain: Any = answer.json()
    if terminal.wants_table:
        found = rendered(plain, what.command, paper_of(terminal.out), what.view)
        return [*found.lines, *(["", *found.notes] if found.notes else [])]
    return json_text(plain, what.command, what.view).splitlines()


def _head(what: Watched, error: str) -> str:
    head = f"{what.command}, every {what.interval_s:g} s, {time.strftime('%H:%M:%S')}. Ctrl-C ends."
    return f"{head} {printable(error, allowed='')}" if error else head


@contextmanager
def _screen(out: TextIO) -> Iterator[None]:
    out.write(_ENTER)
    try:
        yield
    finally:
        out.write(_LEAVE)
        out.flush()


def _draw(out: TextIO, lines: Sequence[str]) -> None:
    """Overwrites line by line instead of clearing first, which would flicker."""
    height = os.get_terminal_size(out.fileno()).lines or 24
    if len(lines) > height:
        lines = [*lines[: height - 1], f"… {len(lines) - height + 1} more lines"]
    text = "\r\n".join(f"{line}{_PLAIN}{_REST_OF_LINE}" for line in lines)
    out.write(f"{_HOME}{text}{_REST_OF_SCREEN}")
    out.flush()


def _is_transient(error: InnkeeperError) -> bool:
    status = error.details.get("status")
    return status is None or status >= 500

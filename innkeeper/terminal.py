"""Output of a command: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest

if TYPE_CHECKING:  # they load Twisted, which help does not need
    from innkeeper.http import Answer
    from innkeeper.operation_wait import Progress


@frozen(kw_only=True)
class Terminal:
    """The standard streams. `table` None means a table on a terminal and JSON otherwise."""

    out: TextIO
    err: TextIO
    stdin: TextIO
    table: bool | None = None

    @property
    def wants_table(self) -> bool:
        return self.out.isatty() if self.table is None else self.table

    def say(self, text: str) -> None:
        """Prints a result to standard output."""
        print(text, file=self.out)

    def note(self, text: str) -> None:
        """Prints a message or warning to standard error."""
        print(printable(text), file=self.err)

    def show(self, plain: Any, resource: str) -> None:
        """Prints a result as a table or as JSON; `resource` is the command, which selects the columns."""
        if self.wants_table:
            from innkeeper.tables import write  # noqa: PLC0415  # loading rich takes longer than most requests

            write(plain, resource, self.out)
        else:
            self.say(json.dumps(plain, indent=4, ensure_ascii=False))

    def show_answer(self, answer: Answer, resource: str) -> None:
        """Prints JSON as sent, or as a table; other bodies unchanged; nothing for an empty body."""
        if answer.body and answer.is_json and self.wants_table:
            self.show(answer.json(), resource)
        elif answer.body and (answer.is_json or answer.content_type.startswith("text/")):
            self.say(answer.text.removesuffix("\n"))
        elif answer.body:
            self.out.flush()
            self.out.buffer.write(answer.body)

    def show_error(self, error: InnkeeperError) -> None:
        """Prints the message, or one line per invalid field."""
        fields = error.fields if isinstance(error, InvalidRequest) else {}
        if not fields:
            self.note(error.message)
            return
        self.note("The region rejected the request:")
        for name, messages in fields.items():
            self.note(f"  {' '.join(messages)}" if name == "__all__" else f"  {name}: {' '.join(messages)}")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A status line if standard error is a terminal, otherwise nothing."""
        if not self.err.isatty():
            yield _NoProgress()
            return
        from rich.console import Console  # noqa: PLC0415  # see show
        from rich.text import Text  # noqa: PLC0415

        console = Console(file=self.err, highlight=False)
        with console.status("starting") as status:

            class StatusLine:
                def report(self, state: str, step: str, elapsed_s: float) -> None:
                    status.update(Text(printable(_progress_text(state, step, elapsed_s))))

            yield StatusLine()


class _NoProgress:
    def report(self, state: str, step: str, elapsed_s: float) -> None:
        pass


def _progress_text(state: str, step: str, elapsed_s: float) -> str:
    return f"{state}: {step}, {elapsed_s:.0f} s" if step else f"{state}, {elapsed_s:.0f} s"


def printable(text: str, *, allowed: str = "\n\t") -> str:
    """Replaces control characters except `allowed`: text from the region must not control the terminal."""
    return "".join(sign if sign.isprintable() or sign in allowed else "?" for sign in text)

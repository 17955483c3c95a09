"""Where a command writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest

if TYPE_CHECKING:  # they load Twisted, which help does without
    from innkeeper.following import Progress
    from innkeeper.http import Answer


@frozen(kw_only=True)
class Terminal:
    """`table` None means: tables on a terminal, JSON for a program. `stdin` is where a key may come from."""

    out: TextIO
    err: TextIO
    stdin: TextIO
    table: bool | None = None

    @property
    def wants_table(self) -> bool:
        return self.out.isatty() if self.table is None else self.table

    def say(self, text: str) -> None:
        print(text, file=self.out)

    def note(self, text: str) -> None:
        print(_plain_text(text), file=self.err)

    def show(self, plain: Any, resource: str) -> None:
        if self.wants_table:
            from innkeeper.tables import shown  # noqa: PLC0415 - rich takes longer to load than most requests take

            shown(plain, resource, self.out)
        else:
            self.say(json.dumps(plain, indent=4, ensure_ascii=False))

    def show_answer(self, answer: Answer, resource: str) -> None:
        """JSON as the server wrote it, or as a table; anything else as it is; nothing for an empty body."""
        if answer.is_json and self.wants_table:
            self.show(answer.json(), resource)
        elif answer.body and (answer.is_json or answer.content_type.startswith("text/")):
            self.say(answer.text.removesuffix("\n"))
        elif answer.body:
            self.out.flush()
            self.out.buffer.write(answer.body)

    def complain(self, error: InnkeeperError) -> None:
        """The error in words, then one line per field."""
        fields = error.fields if isinstance(error, InvalidRequest) else {}
        if not fields:
            self.note(error.message)
            return
        self.note("The request was refused:")
        for name, messages in fields.items():
            self.note(f"  {' '.join(messages)}" if name == "__all__" else f"  {name}: {' '.join(messages)}")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A line that moves, where standard error is a terminal; silence elsewhere."""
        if not self.err.isatty():
            yield _Silence()
            return
        from rich.console import Console  # noqa: PLC0415 - see show
        from rich.text import Text  # noqa: PLC0415

        console = Console(file=self.err, highlight=False)
        with console.status("asking") as status:

            class Moving:
                def tell(self, state: str, step: str, elapsed_s: float) -> None:
                    status.update(Text(_plain_text(_told(state, step, elapsed_s))))

            yield Moving()


class _Silence:
    def tell(self, state: str, step: str, elapsed_s: float) -> None:
        pass


def _told(state: str, step: str, elapsed_s: float) -> str:
    return f"{state}: {step}, {elapsed_s:.0f} s" if step else f"{state}, {elapsed_s:.0f} s"


def _plain_text(text: str) -> str:
    # What comes from elsewhere must not move the cursor of this terminal.
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "?" for sign in text)

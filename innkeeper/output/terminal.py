"""Output of a command: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

from attrs import field, frozen

from common.errors import InnkeeperError, InvalidRequest
from innkeeper.output.text import printable
from innkeeper.view import View

if TYPE_CHECKING:  # it loads Twisted, which help does not need
    from innkeeper.answer import Answer

MAX_INDENTED_BYTES = 4 * 1024 * 1024


@frozen(kw_only=True)
class Terminal:
    """The standard streams. `table` None means a table on a terminal and JSON otherwise, or with `yaml` YAML.

    With `has_acted` the command has changed something, and a wrong column does not hide its result.
    """

    out: TextIO
    err: TextIO
    stdin: TextIO
    table: bool | None = None
    yaml: bool = False
    view: View = field(factory=View)
    has_acted: bool = False

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
        """Prints a result as a table or as JSON; `resource` is the command, which selects the columns.

        Raises Usage for a column that the result does not have, unless the command has acted.
        """
        from innkeeper.arguments import Usage  # noqa: PLC0415  # Loading these takes longer than help does.

        try:
            self._show(plain, resource, self.view)
        except Usage as error:
            if not self.has_acted:
                raise
            self.note(f"The command has been carried out; its whole result is shown. {error}")
            self._show(plain, resource, View(all=self.view.all))

    def _show(self, plain: Any, resource: str, view: View) -> None:
        from innkeeper.output.tables import json_text, paper_of, rendered  # noqa: PLC0415  # see show

        if not self.wants_table:
            self.say(json_text(plain, resource, view, as_yaml=self.yaml))
            return
        found = rendered(plain, resource, paper_of(self.out), view)
        self.say(found.text)
        self.out.flush()
        for note in found.notes:
            self.note(note)

    def show_answer(self, answer: Answer, resource: str) -> None:
        """Prints JSON, a selection of it, or a table; other bodies unchanged; nothing for an empty body.

        JSON is indented up to MAX_INDENTED_BYTES: lists are sent without blanks.
        """
        if answer.body and answer.is_json and (self.wants_table or self.yaml or not self.view.is_default):
            self.show(answer.json(), resource)
        elif answer.body and (answer.is_json or answer.content_type.startswith("text/")):
            indent = answer.is_json and len(answer.body) <= MAX_INDENTED_BYTES
            self.say(json.dumps(answer.json(), indent=4) if indent else answer.text.removesuffix("\n"))
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

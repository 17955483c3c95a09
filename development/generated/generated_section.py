"""A section of a documentation page that a module generates, between two markers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

CHECKOUT = Path(__file__).resolve().parents[2]


@frozen(kw_only=True)
class GeneratedSection:
    """`title` and `module` are named in the markers; `generate` returns the text between them."""

    page: Path
    title: str
    module: str
    generate: Callable[[], str]

    @property
    def begin(self) -> str:
        return f"<!-- {self.title}: begin (python -m {self.module} --write) -->"

    @property
    def end(self) -> str:
        return f"<!-- {self.title}: end -->"

    def placed_in(self, page: str, text: str) -> str:
        """Returns `page` with `text` between the two markers. Raises ValueError if a marker is missing."""
        before, _, rest = page.partition(self.begin)
        _, found, after = rest.partition(self.end)
        if not found:
            raise ValueError(f"The page lacks the markers {self.begin} and {self.end}.")
        return f"{before}{self.begin}\n{text}\n{self.end}{after}"

    def run(self, usage: str | None) -> None:
        """Prints the section, or updates the page with `--write`, as the arguments of the command line say."""
        if sys.argv[1:] == ["--write"]:
            self.page.write_text(self.placed_in(self.page.read_text(encoding="utf-8"), self.generate()), "utf-8")
        elif not sys.argv[1:]:
            print(self.generate())
        else:
            raise SystemExit(usage)

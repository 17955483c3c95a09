"""A record of what was done on the machines, with minutes for each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Transcript:
    """Writes each line as it comes, since a step may take half an hour."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        self._file.write_text("")

    @contextmanager
    def step(self, title: str, cpu_s: Callable[[], float]) -> Iterator[None]:
        """Adds the minutes that the block took, and those of CPU of the emulation, which no other load changes."""
        self.write(f"== {title}")
        started, spent = time.monotonic(), cpu_s()
        try:
            yield
        except BaseException:
            self.write(f"== {title}: FAILED")
            raise
        minutes, cpu_minutes = (time.monotonic() - started) / 60, (cpu_s() - spent) / 60
        self.write(f"== {title}: {minutes:.1f} min, {cpu_minutes:.1f} min of CPU")

    def typed(self, script: str, printed: str, *, last: int = 12) -> None:
        """Adds a script and the last lines of what it printed."""
        self.write("\n".join(f"# {line}" for line in script.strip().splitlines()))
        self.write("\n".join(line[:200] for line in printed.rstrip().splitlines()[-last:]))

    def write(self, text: str) -> None:
        with self._file.open("a") as file:
            file.write(f"{text}\n")

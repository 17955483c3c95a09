"""Keeps programs running as a service manager would: one that dies is started again, all are stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from attrs import field, frozen

from development import processes
from development.places import CannotRun

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
SETTLED_S = 60.0  # one that ran this long was well: its next death starts from the first delay
DEATHS_AT_START = 3
GRACE_S = 20.0
_PROBE_EVERY_S = 0.1


@frozen(kw_only=True)
class Program:
    """What to run. `argv[0]` is a path. The output goes to `log_path`, after what is there already."""

    name: str
    argv: tuple[str, ...]
    log_path: Path
    pid_path: Path
    environment: Mapping[str, str] = field(repr=False)  # may hold the database's password


def next_delay_s(previous_s: float | None, *, ran_s: float) -> float:
    """How long to wait before the next start: 1, 2, 4 … 30 s, and from the beginning after a minute of health."""
    if previous_s is None or ran_s >= SETTLED_S:
        return FIRST_DELAY_S
    return min(previous_s * 2, LONGEST_DELAY_S)


class Supervisor:
    """Several programs, kept in the order of their starts and stopped in the reverse. Always `stop` it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """`tell` gets a sentence for the terminal whenever a program dies or has to be killed."""
        self._tell = tell
        self._kept: dict[str, _Kept] = {}

    def start(self, program: Program) -> None:
        """Start keeping `program`. Returns at once: `ready` says when it serves."""
        kept = _Kept(program, self._tell)
        self._kept[program.name] = kept
        kept.task = asyncio.ensure_future(kept.run())

    async def ready(self, name: str, probe: Callable[[], Awaitable[bool]], *, deadline_s: float) -> None:
        """Return once `probe` says yes.

        Raises CannotRun with the end of the program's log when it keeps dying, or when `deadline_s` is over.
        """
        kept = self._kept[name]
        try:
            async with asyncio.timeout(deadline_s):
                while not await probe():
                    if kept.deaths >= DEATHS_AT_START:
                        raise CannotRun(f"{name} ended {kept.deaths} times at its start.{kept.last_words()}")
                    await asyncio.sleep(_PROBE_EVERY_S)
        except TimeoutError:
            raise CannotRun(f"{name} was not ready within {deadline_s:.0f} s.{kept.last_words()}") from None

    def pid(self, name: str) -> int | None:
        """The program's process now; None while it is down."""
        return self._kept[name].pid

    async def stop(self) -> None:
        """End all programs, the last started first. Calling again is harmless."""
        while self._kept:
            _, kept = self._kept.popitem()
            await kept.stop()


class _Kept:
    def __init__(self, program: Program, tell: Callable[[str], None]) -> None:
        self.program = program
        self.deaths = 0
        self.pid: int | None = None
        self.task: asyncio.Task[None] | None = None
        self._tell = tell
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        delay_s: float | None = None
        while not self._stopping.is_set():
            began = time.monotonic()
            outcome = await self._run_once()
            if self._stopping.is_set():
                return
            self.deaths += 1
            delay_s = next_delay_s(delay_s, ran_s=time.monotonic() - began)
            self._tell(f"{self.program.name} {outcome}; starting it again in {delay_s:.0f} s.")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()

    async def _run_once(self) -> str:
        program = self.program
        with program.log_path.open("ab") as log:
            # setpriv asks the kernel to end the program when we are killed without a chance to do so.
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "TERM", *program.argv),
                env=dict(program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to handle: it must not reach the program from the terminal
            )
        self.pid = process.pid
        processes.remember(program.pid_path, process.pid)
        if self._stopping.is_set():  # asked to stop while it was being started
            await self._end()
        code = await process.wait()
        self.pid = None
        return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"

    async def stop(self) -> None:
        self._stopping.set()
        await self._end()
        if self.task is not None:
            await self.task
        self.program.pid_path.unlink(missing_ok=True)

    async def _end(self) -> None:
        process = processes.identify(self.pid) if self.pid is not None else None
        if process is not None:
            await processes.end_group(process, grace_s=GRACE_S)

    def last_words(self, lines: int = 12) -> str:
        """The end of the log, for a message that says why the program did not come up."""
        path = self.program.log_path
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        shown = "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
        return f" The end of {path}:\n{shown}" if shown else f" It wrote nothing to {path}."

"""Runs programs like a service manager: restarts those that exit, and stops all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from attrs import field, frozen

from development import processes
from development.paths import CannotRun

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 30.0
HEALTHY_S = 60.0  # after running this long, the restart delay begins again at the first
MAX_EXITS_AT_START = 3
GRACE_S = 20.0
_PROBE_EVERY_S = 0.1


@frozen(kw_only=True)
class Program:
    """A program to run. `argv[0]` is a path; output is appended to `log_path`.

    `survives`: it serves others too, so it outlives a killed supervisor, and the next one adopts it by `pid_path`.
    """

    name: str
    argv: tuple[str, ...]
    log_path: Path
    pid_path: Path
    environment: Mapping[str, str] = field(repr=False)  # may contain the database password
    survives: bool = False


def next_delay_s(previous_s: float | None, *, ran_s: float) -> float:
    """Returns the restart delay: 1, 2, 4 … 30 s, and 1 s again after the program ran for a minute."""
    if previous_s is None or ran_s >= HEALTHY_S:
        return FIRST_DELAY_S
    return min(previous_s * 2, MAX_DELAY_S)


class Supervisor:
    """Several programs, stopped in reverse order of their start. The caller must `stop` it."""

    def __init__(self, report: Callable[[str], None]) -> None:
        """`report` receives a sentence for the terminal whenever a program exits."""
        self._report = report
        self._supervised: dict[str, _Supervised] = {}

    def start(self, program: Program) -> None:
        """Starts and supervises `program`. Returns immediately; `ready` waits until it serves."""
        supervised = _Supervised(program, self._report)
        self._supervised[program.name] = supervised
        supervised.task = asyncio.ensure_future(supervised.run())

    async def ready(self, name: str, probe: Callable[[], Awaitable[bool]], *, deadline_s: float) -> None:
        """Returns once `probe` returns True.

        Raises CannotRun with the end of the program's log if it exits three times or `deadline_s` passes.
        """
        supervised = self._supervised[name]
        try:
            async with asyncio.timeout(deadline_s):
                while not await probe():
                    if supervised.exits >= MAX_EXITS_AT_START:
                        raise CannotRun(
                            f"{name} exited {supervised.exits} times during startup.{supervised.log_tail()}"
                        )
                    await asyncio.sleep(_PROBE_EVERY_S)
        except TimeoutError:
            raise CannotRun(f"{name} was not ready within {deadline_s:.0f} s.{supervised.log_tail()}") from None

    def pid(self, name: str) -> int | None:
        """Returns the PID of the program; None while it does not run."""
        return self._supervised[name].pid

    async def stop(self) -> None:
        """Stops all programs, the last started first. Idempotent."""
        while self._supervised:
            _, supervised = self._supervised.popitem()
            await supervised.stop()

    async def leave(self) -> None:
        """Ends the supervision of programs that survive, which keep running. Idempotent."""
        while self._supervised:
            _, supervised = self._supervised.popitem()
            await supervised.leave()


class _Supervised:
    def __init__(self, program: Program, report: Callable[[str], None]) -> None:
        self.program = program
        self.exits = 0
        self.pid: int | None = None
        self.task: asyncio.Task[None] | None = None
        self._report = report
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        delay_s: float | None = None
        while not self._stopping.is_set():
            started = time.monotonic()
            outcome = await self._run_once()
            if self._stopping.is_set():
                return
            self.exits += 1
            delay_s = next_delay_s(delay_s, ran_s=time.monotonic() - started)
            self._report(f"{self.program.name} {outcome}; restarting it in {delay_s:.0f} s.")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()

    async def _run_once(self) -> str:
        return await (self._run_surviving() if self.program.survives else self._run_child())

    async def _run_surviving(self) -> str:
        program, child = self.program, None
        process = processes.recorded(program.pid_path)
        if process is None:
            child = processes.start_surviving(program.argv, program.environment, program.log_path)
            processes.record(program.pid_path, child)
            process = processes.identify(child)
        if process is not None:
            self.pid = process.pid
            if self._stopping.is_set():  # stop() was called during the start
                await self._end()
            await processes.ended(process)
        self.pid = None
        if child is None:
            return "exited"
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        return _outcome(os.waitstatus_to_exitcode(status))

    async def _run_child(self) -> str:
        program = self.program
        with program.log_path.open("ab") as log:
            # setpriv makes the kernel end the program when this process is killed.
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "TERM", *program.argv),
                env=dict(program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal must reach only this process
            )
        self.pid = process.pid
        processes.record(program.pid_path, process.pid)
        if self._stopping.is_set():  # stop() was called during the start
            await self._end()
        code = await process.wait()
        self.pid = None
        return _outcome(code)

    async def leave(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

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

    def log_tail(self, lines: int = 12) -> str:
        """Returns the end of the log, for an error message."""
        path = self.program.log_path
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        shown = "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
        return f" The end of {path}:\n{shown}" if shown else f" {path} is empty."


def _outcome(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"

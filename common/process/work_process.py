"""Runs a module of ours in a process with limits, for work on what others have sent.

A thread does not help: Python's lock lets one thread work at a time, and a large JSON holds it until its end. The
process gets its order as the first line of its input, and content after it; what it answers is read by lines, with
pauses, so that nothing else waits for them.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from attrs import frozen

import common

MAX_LINE_BYTES = 2**20
_KEPT = ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")
_ROOT = str(Path(common.__file__).parents[1])  # where the packages of this process are


@frozen(kw_only=True)
class WorkLimits:
    """`memory_bytes` are addresses: about 150 MiB of them are Python's own."""

    cpu_s: int
    memory_bytes: int
    deadline_s: float


class WorkFailed(Exception):
    """The process ended without an answer: it has reached a limit, or was killed."""


@frozen
class WorkOutput:
    """The answer of a process. Methods raise WorkFailed."""

    _stream: asyncio.StreamReader

    async def line(self) -> Any:
        """Returns the JSON of the next line."""
        try:
            found = await self._stream.readline()
        except ValueError as error:
            raise WorkFailed("a line of its answer is too long") from error
        if not found.endswith(b"\n"):
            raise WorkFailed("it ended")
        return json.loads(found)

    async def content(self, size_bytes: int) -> bytes:
        try:
            return await self._stream.readexactly(size_bytes)
        except asyncio.IncompleteReadError as error:
            raise WorkFailed("it ended") from error


@asynccontextmanager
async def work_process(
    module: str, order: Mapping[str, Any], content: bytes, limits: WorkLimits
) -> AsyncIterator[WorkOutput]:
    """Yields the answer of the module, which has begun; kills it at the end. Raises WorkFailed, TimeoutError."""
    line = json.dumps({**order, "cpu_s": limits.cpu_s, "memory_bytes": limits.memory_bytes}).encode() + b"\n"
    async with asyncio.timeout(limits.deadline_s):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env=_environment(), cwd="/", limit=MAX_LINE_BYTES,
        )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        sending = asyncio.create_task(_send(process.stdin, line + content))
        try:
            yield WorkOutput(process.stdout)
        finally:
            sending.cancel()
            with suppress(ProcessLookupError):
                process.kill()
            while await process.stdout.read(MAX_LINE_BYTES):  # asyncio notices its end only then
                pass
            await process.wait()


def _environment() -> dict[str, str]:
    """Without settings of this process, which may be secrets."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": _ROOT, "MALLOC_ARENA_MAX": "1"}


async def _send(stream: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(OSError):  # the process has ended
        stream.write(data)
        await stream.drain()
        stream.close()


async def fair_pause(since_s: float) -> None:
    """Gives the event loop to others for as long as the work since that time, of `time.perf_counter`, has taken."""
    await asyncio.sleep(time.perf_counter() - since_s)


def read_order(stream: BinaryIO) -> Mapping[str, Any]:
    """In the process: returns the order, once its limits hold. Whatever else runs comes first."""
    order: Mapping[str, Any] = json.loads(stream.readline())
    memory_bytes, cpu_s = order["memory_bytes"], order["cpu_s"]
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        os.nice(10)
    return order

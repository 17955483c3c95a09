"""Shows which modules of the region a request passes, in their order: how long the way in is."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import structlog
from attrs import field, frozen
from structlog.contextvars import get_contextvars

from development import postgres
from innkeeper.api_description import Method
from innkeeper.reactor import run

ROOT = Path(__file__).parents[1]
ASYNC = {"Prefer": "respond-async"}  # the answer comes once the operation is recorded

_PRODUCT = ("regiond", "common")
_TRANSPORT = "regiond.api.http."  # begins what it does outside of tasks, as links and notifications of the database do
_BATCH = "Batcher._run"  # runs in no request's context, for several requests


@frozen
class Trace:
    """`modules` in the order in which the request first entered them. `entries`: each change from one to another."""

    modules: dict[str, int] = field(factory=dict)
    entries: list[str] = field(factory=list)

    def enter(self, module: str) -> None:
        if not self.entries or self.entries[-1] != module:
            self.entries.append(module)
        self.modules[module] = self.modules.get(module, 0) + 1

    @property
    def returns(self) -> int:
        """The number of times at which the request came back to a module that it had left."""
        return len(self.entries) - len(self.modules)


@contextmanager
def traced() -> Iterator[Trace]:
    """Traces what this process does for requests in the block: in their tasks, in batches, and in the HTTP channel."""
    trace = Trace()
    known: dict[CodeType, str | None] = {}

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code not in known:
            known[code] = _module_of(code.co_filename)
        if (module := known[code]) is not None and _is_for_request(frame, known):
            trace.enter(module)

    sys.setprofile(watch)
    try:
        yield trace
    finally:
        sys.setprofile(None)


def _module_of(filename: str) -> str | None:
    path = Path(filename)
    if not path.is_relative_to(ROOT):
        return None
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts) if parts[0] in _PRODUCT and parts[-1] != "__init__" else None


def _is_for_request(frame: FrameType, known: Mapping[CodeType, str | None]) -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    if task is None:
        return any((known.get(one.f_code) or "").startswith(_TRANSPORT) for one in _callers(frame))
    coroutine: Any = task.get_coro()
    bound = get_contextvars()
    is_request = "request_id" in bound and "operation" not in bound  # an operation keeps the id of its request
    return is_request or coroutine.__qualname__ == _BATCH


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    """Yields the frame, its caller, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


async def _measured(folder: Path, dsn: str, method: Method, path: str, fields: Mapping[str, str]) -> Trace:
    from tests.deployment.in_process import deployed  # noqa: PLC0415  # tests import this package

    async with deployed(folder, dsn) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        wanted, op = path.replace("HOST", str(host["id"])), fields.get("op")
        others = {name: value for name, value in fields.items() if name != "op"}
        for _ in range(2):  # the first does what is done once
            with traced() as trace:
                await innkeeper.send(method, wanted, op=op, fields=others, headers=ASYNC)
        return trace


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m development.request_trace", description=__doc__)
    parser.add_argument("method", choices=("GET", "POST", "PUT", "DELETE"))
    parser.add_argument("path", help="below /MAAS/api/2.0/; HOST stands for the id of a simulated host")
    parser.add_argument("fields", nargs="*", metavar="NAME=VALUE")
    given = parser.parse_args(words)
    fields = dict(one.split("=", 1) for one in given.fields)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dsn = postgres.start(folder / "postgresql", settings=postgres.FAST)
        try:
            trace = run(lambda: _measured(folder, dsn, given.method, given.path, fields))
        finally:
            postgres.stop(folder / "postgresql")
    print("\n".join(trace.modules))
    print(f"{len(trace.modules)} modules, {trace.returns} returns to one that it had left")


if __name__ == "__main__":
    main()

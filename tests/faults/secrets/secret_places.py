"""Reads every place where a deployment could leave a secret: logs, database, processes, files, answers of the API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

from common.errors import DeadlineExceeded, InnkeeperError
from development import postgres
from innkeeper.api_description import API_PATH
from innkeeper.http import Api
from tests.deployment.processes import Processes

READABLE_BY_OTHERS = 0o077
READS_AT_ONCE = 16
_ALIASES = f"{API_PATH}pods/"  # the same as vm-hosts/
_STREAM = "text/event-stream"
# After which the past events of a stream have been read. Many requests are answered at once, so that the first part may
# take a while; after 15 s without events the region sends a comment, and the stream would never be silent.
_SILENCE_S = 10.0
_PARAMETER = re.compile(r"\{(\w+)\}")


def logs(processes: Processes) -> dict[str, bytes]:
    """The output of daemons and commands, and PostgreSQL's own log."""
    own = [*processes.folder.glob("*.log"), processes.server_folder / "log"]
    return {f"log {path.name}": path.read_bytes() for path in own if path.exists()}


def database(dsn: str) -> dict[str, bytes]:
    """A backup of the database; bytes are in hex there."""
    return {"database": postgres.dump(dsn)}


def own_processes(processes: Processes) -> dict[str, int]:
    """The daemons, PostgreSQL and its children: ids by name."""
    postmaster = postgres.running_pid(processes.server_folder)
    found = {name: process.pid for name, process in processes.running.items()}
    data = processes.server_folder / "data"
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").samefile(data):
                found["postgres" if int(entry.name) == postmaster else f"postgres {entry.name}"] = int(entry.name)
        except OSError:
            continue  # ended, or not ours
    return found


def process_files(pids: Mapping[str, int]) -> dict[str, bytes]:
    """What other programs of the computer can read of processes: arguments and environment."""
    found = {}
    for (name, pid), file in product(pids.items(), ("cmdline", "environ")):
        try:
            found[f"{file} of {name}"] = Path(f"/proc/{pid}/{file}").read_bytes()
        except (ProcessLookupError, FileNotFoundError):
            assert name.startswith("postgres "), f"{name} has ended"
    return found


def core_bytes(pid: int) -> set[str]:
    """The limits of the size of a core dump, soft and hard."""
    (line,) = [text for text in Path(f"/proc/{pid}/limits").read_text().splitlines() if text.startswith("Max core")]
    return set(line.split()[4:6])


def files(folder: Path) -> dict[Path, bytes]:
    """Every regular file below the folder, but logs."""
    regular = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {path: path.read_bytes() for path in regular if path.suffix != ".log"}


def is_private(path: Path) -> bool:
    """Whether only its owner can read the file."""
    return not path.stat().st_mode & READABLE_BY_OTHERS


async def reads(api: Api, of: str, values: Mapping[str, Iterable[str]]) -> dict[str, bytes]:
    """The answers to every GET request of the API's description; `values` of the parameters in paths, by name.

    Errors are answers too. Of a stream it is what there is from the first event on.
    """
    description: Any = (await api.get("openapi.json")).json()
    gets = {path: item["get"]["responses"] for path, item in description["paths"].items() if "get" in item}
    streams = {path for path, answers in gets.items() if _STREAM in answers.get("200", {}).get("content", {})}
    each = [concrete for path in gets if not path.startswith(_ALIASES) for concrete in _concrete(path, values)]
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def read(path: str) -> bytes:
        relative = path.removeprefix(API_PATH)
        async with slots:
            return await (_read_stream(api, relative) if path in streams else _read(api, relative))

    answers = await asyncio.gather(*map(read, each))
    return {f"{of}: GET {path}": answer for path, answer in zip(each, answers, strict=True)}


def _concrete(path: str, values: Mapping[str, Iterable[str]]) -> Iterator[str]:
    names = _PARAMETER.findall(path)
    for chosen in product(*(tuple(values.get(name, ("1",))) for name in names)):
        concrete = path
        for name, value in zip(names, chosen, strict=True):
            concrete = concrete.replace(f"{{{name}}}", value)
        yield concrete


async def _read(api: Api, path: str) -> bytes:
    try:
        return (await api.get(path)).body
    except InnkeeperError as error:
        return f"{error} {error.details}".encode()


async def _read_stream(api: Api, path: str) -> bytes:
    received: list[bytes] = []
    with suppress(DeadlineExceeded):  # it has no end
        await api.stream(path, received.append, headers={"Last-Event-ID": "0"}, silence_s=_SILENCE_S)
    return b"".join(received)

"""Exports a machine, and downloads the file with its hash checked: `--output FILE`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

from common.errors import DeadlineExceeded, InnkeeperError, InvalidRequest, LinkLost
from innkeeper.arguments import ApiCall, Options, Usage
from innkeeper.http import Api, relative_path
from innkeeper.output.progress import Progress, Report, progress_on
from innkeeper.output.terminal import Terminal

EXPORT, DOWNLOAD = "machine export", "export download"
SILENCE_S = 120.0
TRIES = 5  # without any progress between them
_RETRY_AFTER_S = 1.0
_POLL_EVERY_S = 0.5
_MIB = 1024 * 1024


def check_output(wanted: ApiCall, options: Options, *, several: bool) -> None:
    """Raises Usage for a command that writes no file, or does nothing else and is not told which."""
    if options.output is not None and (several or wanted.command not in (EXPORT, DOWNLOAD)):
        raise Usage(f"--output is an option of {EXPORT} and {DOWNLOAD}, of one object.")
    if options.output == "" or (options.output is None and wanted.command == DOWNLOAD):
        raise Usage(f"Name the file: {wanted.command} {wanted.target} --output FILE")


async def download(api: Api, entry: Any, target: Path, terminal: Terminal) -> Any:
    """Returns the entry of the file, once `target` has its content. Raises InnkeeperError if that is not intact.

    Nothing is at `target` before; what was downloaded until an interruption is beside it, and continued.
    """
    progress, began_s = progress_on(terminal), time.monotonic()
    progress.begin(f"Waiting for the file of {entry['name']}. Ctrl-C ends only the wait.")
    try:
        entry = await _ready(api, entry, progress, began_s)
        part = target.with_name(f"{target.name}.part")
        with _opened(part) as file:
            await _fill(api, entry, file, progress, began_s)
            digest = await asyncio.to_thread(_hash, file)
        if digest != entry["sha256"]:
            part.unlink()
            raise InnkeeperError(f"The file has the SHA-256 {digest} instead of {entry['sha256']}. Download it again.")
        os.replace(part, target)
    finally:
        progress.end()
    return entry


async def _ready(api: Api, entry: Any, progress: Progress, began_s: float) -> Any:
    while entry["state"] == "exporting":
        step = f"{entry['percent']} %, {entry['size'] / _MIB:.0f} MiB"
        progress.report(Report(state="exporting", step=step, elapsed_s=time.monotonic() - began_s))
        await asyncio.sleep(_POLL_EVERY_S)
        operation = (await api.get(f"operations/{entry['operation']}/")).json()
        if operation["state"] in ("failed", "cancelled"):
            raise InnkeeperError(
                f"The export has {operation['state']}: {(operation['error'] or {}).get('message', '')}"
            )
        entry = (await api.get(relative_path(entry["resource_uri"]))).json()
    return entry


async def _fill(api: Api, entry: Any, file: BinaryIO, progress: Progress, began_s: float) -> None:
    failures, size = 0, entry["size"]
    if file.seek(0, os.SEEK_END) > size:
        file.truncate(0)

    def received(data: bytes) -> None:
        file.write(data)
        step = f"{file.tell() / _MIB:.0f} of {size / _MIB:.0f} MiB"
        progress.report(Report(state="downloading", step=step, elapsed_s=time.monotonic() - began_s))

    while (before := file.seek(0, os.SEEK_END)) < size:
        try:
            await api.stream(
                relative_path(entry["resource_uri"]), received, query=[("op", "download")],
                headers={"Range": f"bytes={before}-"}, silence_s=SILENCE_S,
            )  # fmt: skip
        except (LinkLost, DeadlineExceeded) as error:
            failures = 0 if file.tell() > before else failures + 1
            if failures == TRIES:
                raise LinkLost(f"{error.message} Repeat the command: it continues the download.") from error
            await asyncio.sleep(_RETRY_AFTER_S)


def _opened(path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as error:
        raise InvalidRequest(f"Cannot write {path}: {error.strerror}.") from error


def _hash(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_MIB):
        digest.update(chunk)
    return digest.hexdigest()

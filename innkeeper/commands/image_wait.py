"""Waits for an image that the region downloads, and reports the progress."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from common.errors import InnkeeperError
from innkeeper.arguments import ApiCall
from innkeeper.http import Api, relative_path
from innkeeper.output.progress import Report, progress_on
from innkeeper.output.terminal import Terminal

COMMANDS = ("boot-resources create", "boot-resources import")
_POLL_EVERY_S = 0.5
_MIB = 1024 * 1024


def starts_download(wanted: ApiCall) -> bool:
    """Whether the answer to the call may be an image that is being downloaded."""
    return wanted.command in COMMANDS


async def downloaded(api: Api, entry: Any, terminal: Terminal) -> Any:
    """Returns the entry once it is ready. Raises InnkeeperError if it fails."""
    progress = progress_on(terminal)
    began_s = time.monotonic()
    progress.begin(f"The region downloads {entry['name']}. Ctrl-C ends only the wait.")
    try:
        while entry["state"] in {"downloading", "checking"}:
            size = f" of {entry['size'] / _MIB:.0f}" if entry["size"] else ""
            step = f"{entry['received'] / _MIB:.0f}{size} MiB"
            elapsed_s = time.monotonic() - began_s
            progress.report(Report(state=entry["state"], step=step, reason=entry["error"] or "", elapsed_s=elapsed_s))
            await asyncio.sleep(_POLL_EVERY_S)
            entry = (await api.get(relative_path(entry["resource_uri"]))).json()
    finally:
        progress.end()
    if entry["state"] == "failed":
        raise InnkeeperError(f"The region cannot use the image: {entry['error']}")
    return entry

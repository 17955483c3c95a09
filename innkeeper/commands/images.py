"""Uploads images in parts, continues interrupted uploads, and waits for downloads of the region."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import field, frozen

from common.errors import DeadlineExceeded, InnkeeperError, InvalidRequest, LinkLost
from innkeeper.arguments import ApiCall, Given
from innkeeper.http import Api, relative_path
from innkeeper.output.progress import Progress, Report, progress_on
from innkeeper.output.terminal import Terminal
from innkeeper.request_body import Body

COMMAND = "boot-resources create"
EXPORTS_COMMAND = "exports create"  # files of VMs are uploaded in the same way
DOWNLOADING_COMMANDS = (COMMAND, "boot-resources import")
CONTENT = "content"
METADATA = "metadata"
PART_BYTES = 4 * 1024 * 1024  # the region takes no longer body
PART_TIMEOUT_S = 120.0
TRIES = 15  # of one part, after the first
_RETRY_AFTER_S = 1.0
_POLL_EVERY_S = 0.5
_MIB = 1024 * 1024
_PASSING = {409, 503}  # a part that is written already, or right now; a region that starts or stops


def uploaded_file(wanted: ApiCall) -> Path | None:
    """Returns the file that the call uploads; None if it is another call."""
    found = [given.value for given in wanted.fields if given.name == CONTENT and given.from_file]
    return Path(found[-1]) if found and wanted.command in (COMMAND, EXPORTS_COMMAND) else None


@frozen(kw_only=True)
class ImageUpload:
    """`plain` are the other fields of the call, `files` its other files. `waits`: until the image was checked."""

    api: Api
    path: Path
    plain: Sequence[tuple[str, str]]
    waits: bool
    progress: Progress
    collection: str = "boot-resources/"
    files: Mapping[str, bytes] = field(factory=dict)
    retry_after_s: float = _RETRY_AFTER_S
    _began_s: float = field(factory=time.monotonic, init=False)

    async def run(self) -> Any:
        """Returns the entry: ready, or with all its content if it does not wait.

        Raises InvalidRequest if the file cannot be read, the region's error, or InnkeeperError if the check fails.
        """
        self.progress.begin(f"Uploading {self.path.name}.")
        try:
            entry = await self._declared()
            if entry["state"] != "ready":
                entry = await self._with_content(entry)
            return await self._checked(entry) if self.waits else entry
        finally:
            self.progress.end()

    async def _declared(self) -> Any:
        given = dict(self.plain)
        size, sha256 = await asyncio.to_thread(partial(_size_and_hash, self.path, given.get("sha256", "")))
        fields = {**given, "size": str(size), "sha256": sha256}
        body = Body(fields=list(fields.items()), files=self.files)
        return (await self.api.send("POST", self.collection, body=body)).json()

    async def _with_content(self, entry: Any) -> Any:
        """Sends what the region does not have yet. It may restart meanwhile, and asks what it has then."""
        failures, is_known = 0, True
        while not is_known or _missing(entry):
            try:
                if not is_known:
                    before, entry = entry, await self._read(entry)
                    is_known = True
                    failures = failures if entry["received"] == before["received"] else 0
                    continue
                self._report(entry, "uploading")
                offset = 0 if entry["state"] == "failed" else entry["received"]
                data = await asyncio.to_thread(partial(_part, self.path, offset))
                entry = await self._sent(entry, offset, data)
                failures = 0
            except InnkeeperError as error:
                if not _may_pass(error):
                    raise
                if failures == TRIES:
                    remedy = " Repeat the command: it continues the upload."
                    raise type(error)(f"{error.message}{remedy}", **error.details) from error
            else:
                continue
            failures, is_known = failures + 1, False
            await asyncio.sleep(self.retry_after_s)
        return entry

    async def _sent(self, entry: Any, offset: int, data: bytes) -> Any:
        answer = await self.api.send(
            "PUT", _upload_path(entry), query=[("offset", str(offset))], body=Body(content=data),
            deadline_s=PART_TIMEOUT_S,
        )  # fmt: skip
        return answer.json()

    async def _checked(self, entry: Any) -> Any:
        while entry["state"] == "checking":
            self._report(entry, "checking")
            await asyncio.sleep(_POLL_EVERY_S)
            entry = await self._read(entry)
        if entry["state"] == "failed":
            raise InnkeeperError(f"The region cannot use the file: {entry['error']}")
        return entry

    async def _read(self, entry: Any) -> Any:
        return (await self.api.get(relative_path(entry["resource_uri"]))).json()

    def _report(self, entry: Any, state: str) -> None:
        step = f"{entry['received'] / _MIB:.0f} of {entry['size'] / _MIB:.0f} MiB"
        self.progress.report(Report(state=state, step=step, elapsed_s=time.monotonic() - self._began_s))


async def upload(api: Api, wanted: ApiCall, path: Path, terminal: Terminal, *, waits: bool) -> None:
    """Uploads the file and shows the entry."""
    given = [one for one in wanted.fields if one.name not in {CONTENT, "size"}]
    plain = [(one.name, one.value) for one in given if not one.from_file]
    files = {one.name: _file(one) for one in given if one.from_file}
    sending = ImageUpload(
        api=api, path=path, plain=plain, files=files, waits=waits, progress=progress_on(terminal),
        collection=wanted.path,
    )  # fmt: skip
    entry = await sending.run()
    terminal.show(entry, wanted.command)


def starts_download(wanted: ApiCall) -> bool:
    """Whether the answer to the call may be an image that is being downloaded."""
    return wanted.command in DOWNLOADING_COMMANDS


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


def _may_pass(error: InnkeeperError) -> bool:
    """Whether the region may take the part soon: it restarts, the connection was lost, or it still writes this part."""
    return (
        isinstance(error, LinkLost | DeadlineExceeded)
        or bool(error.details.get("unreachable"))
        or error.details.get("status") in _PASSING
    )


def _missing(entry: Any) -> bool:
    return entry["state"] in {"uploading", "failed"}


def _upload_path(entry: Any) -> str:
    """The address of the one file that is not complete."""
    if "sets" not in entry:
        return f"{relative_path(entry['resource_uri'])}upload/"
    addresses = [
        file["upload_uri"]
        for one_set in entry["sets"].values()
        for file in one_set["files"].values()
        if not file["complete"]
    ]
    return relative_path(addresses[0])


def _file(given: Given) -> bytes:
    if given.name != METADATA:
        raise InvalidRequest(f"{given.name}: only {CONTENT} and {METADATA} are read from a file here.")
    try:
        return Path(given.value).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{METADATA}: cannot read {given.value}: {error.strerror}.") from error


def _size_and_hash(path: Path, known: str) -> tuple[int, str]:
    try:
        with path.open("rb") as file:
            sha256 = known or hashlib.file_digest(file, "sha256").hexdigest()
        return path.stat().st_size, sha256
    except OSError as error:
        raise _unreadable(path, error) from error


def _part(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(PART_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not data:
        raise InvalidRequest(f"{CONTENT}: {path} has become shorter during the upload.")
    return data


def _unreadable(path: Path, error: OSError) -> InvalidRequest:
    return InvalidRequest(f"{CONTENT}: cannot read {path}: {error.strerror}.")

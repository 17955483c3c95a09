"""Adds images from simplestreams servers: finds the disk in the server's metadata, then has it downloaded."""

from __future__ import annotations

from functools import partial
from urllib.parse import urljoin, urlsplit

from attrs import frozen

from common.bodies.bounded_body import BoundedBody, TooLarge
from common.errors import InvalidRequest
from common.units import file_size
from regiond.images.download_rules import DownloadRules, url_problem
from regiond.images.downloads import simplestreams
from regiond.images.downloads.http_download import HttpSource, RangeRefused, SourceFailed
from regiond.images.downloads.simplestreams import BadStream, StreamDisk
from regiond.images.downloads.source_calls import run_abortable
from regiond.images.file_threads import FileThreads
from regiond.images.model import ARCHITECTURES, Image, StreamImage, SubmittedImage, split_architecture
from regiond.images.uploads import Uploads
from regiond.requests.caller import Caller
from regiond.requests.validation_messages import no_choice, shown

MAX_METADATA_BYTES = 32 * 2**20  # of all lists together
METADATA_S = 30.0  # for each file of metadata
_HTTPS = ("https",)  # nothing else proves the checksums in the metadata


@frozen(kw_only=True)
class Imports:
    """Imports from simplestreams servers. `threads` are for downloads only."""

    uploads: Uploads
    threads: FileThreads
    rules: DownloadRules

    async def start(self, caller: Caller, wanted: StreamImage) -> Image:
        """Returns the entry, whose content is downloaded in the background. Idempotent, as an upload.

        Raises InvalidRequest if the server cannot be read or has no such image; otherwise as `Uploads.declare`.
        """
        caller.require_admin()
        architecture, _ = split_architecture(wanted.architecture)
        if architecture not in ARCHITECTURES:
            raise InvalidRequest.of({"architecture": [no_choice(wanted.architecture, ARCHITECTURES)]})
        server = _base(wanted.server)
        try:
            disk = await self._find(server, wanted, architecture)
            url = _on(server, disk.path)
        except (SourceFailed, BadStream) as error:
            raise InvalidRequest.of({"server": [str(error)]}) from error
        submitted = SubmittedImage(
            name=wanted.name or disk.name,
            architecture=wanted.architecture,
            title=wanted.title or f"{disk.title} ({disk.version})".strip(),
            sha256=disk.sha256,
            size_bytes=disk.size_bytes,
            url=url,
        )
        return await self.uploads.declare(caller, submitted)

    async def _find(self, server: str, wanted: StreamImage, architecture: str) -> StreamDisk:
        index = await self._read(server, simplestreams.INDEX_PATH)
        paths = await self.threads.run(partial(simplestreams.product_files, index))
        files: list[bytes] = []
        for path in paths:
            files.append(await self._read(server, path, MAX_METADATA_BYTES - sum(map(len, files))))
        choose = partial(simplestreams.choose_disk, files, wanted.image, architecture, wanted.version)
        return await self.threads.run(choose)

    async def _read(self, server: str, path: str, max_bytes: int = MAX_METADATA_BYTES) -> bytes:
        source = HttpSource(self.rules)
        url = _on(server, path)
        return await run_abortable(self.threads, source, partial(_whole, source, url, max_bytes), deadline_s=METADATA_S)


def _base(server: str) -> str:
    """Returns the URL to which paths are relative. Raises InvalidRequest."""
    problem = url_problem(server, schemes=_HTTPS)
    if problem is not None:
        raise InvalidRequest.of({"server": [problem]})
    return server.partition(simplestreams.INDEX_PATH)[0].rstrip("/") + "/"


def _on(server: str, path: str) -> str:
    """Returns the URL of a path that the server's lists name. Raises BadStream if it is on another server.

    An administrator has named this server; its lists must not choose other servers to which the region connects.
    """
    url = urljoin(server, path)
    if urlsplit(url)[:2] != urlsplit(server)[:2]:
        raise BadStream(f"The server's lists name a file on another server: {shown(url)}.")
    return url


def _whole(source: HttpSource, url: str, max_bytes: int) -> bytes:
    """Returns the content of the URL. Blocks: the deadline is that of `run_abortable`."""
    try:
        file = source.open(url, schemes=_HTTPS)
    except RangeRefused as error:
        raise SourceFailed("The server answers with a part of a file.", is_lasting=True) from error
    try:
        data = BoundedBody(max_bytes)
        try:
            while read := file.read():
                data.take(read)
        except TooLarge as error:
            most = file_size(MAX_METADATA_BYTES)
            raise SourceFailed(f"The server's lists of images have more than {most}.", is_lasting=True) from error
        if file.whole_bytes is not None and data.size < file.whole_bytes:
            raise SourceFailed(f"The transfer ended after {data.size} of {file.whole_bytes} bytes.", is_lasting=False)
        return data.content()
    finally:
        file.close()

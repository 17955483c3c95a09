"""Images that the region downloads by URL: continued after cuts and restarts, bounded, and refused with the reason."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from regiond.accounts.service import Accounts
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.images.download_rules import DownloadRules, Reach
from regiond.images.downloads.service import ImageDownloads
from regiond.images.model import ImageState, SubmittedImage
from regiond.process.settings import RegionSettings
from regiond.wiring.images import wire_images
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.deployment.runner import REGION
from tests.doubles.file_server import FileServer, file_server
from tests.integration.images.test_image_upload_command import logged_in
from tests.integration.images.test_images import files, kinds
from tests.support.administrators import add_administrator
from tests.support.disk_images import MIB, append, checked, declare, raw_disk
from tests.support.rejections import invalid_fields, rejected_status
from tests.support.waiting import eventually
from tests.unit.command.processes import in_shell

pytestmark = pytest.mark.database

DISK = raw_disk(3 * MIB) + bytes(range(256)) * 4096
SHA256 = hashlib.sha256(DISK).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as served:
        served.files["/disk.img"] = DISK
        yield served


@asynccontextmanager
async def downloading(tmp_path: Path, database_url: str, **settings: Any) -> AsyncIterator[Deployment]:
    """A deployment that may download from this computer."""
    settings = {"image_download_networks": ("127.0.0.0/8",), **settings}
    async with deployed(tmp_path, database_url, **settings) as innkeeper:
        yield innkeeper


async def add(innkeeper: Deployment, url: str, **fields: Any) -> Any:
    given = {"name": "x", "architecture": "amd64", "url": url, "sha256": SHA256, **fields}
    return await innkeeper.post("boot-resources/", **given)


async def ended(innkeeper: Deployment, entry: Any) -> Any:
    """Returns the entry once it is ready or has failed; a download that waits for its next try has it at once."""

    async def found() -> Any:
        async with innkeeper.connection() as db:
            await db.execute("update image set retry_at = now() where state = 'downloading' and retry_at > now()")
        innkeeper.region.components.image_tasks.wake_downloads()
        now = await innkeeper.get(f"boot-resources/{entry['id']}/")
        return now if now["state"] in {"ready", "failed"} else None

    return await eventually(found)


async def test_an_image_is_downloaded_and_checked(tmp_path: Path, database_url: str, server: FileServer) -> None:
    async with downloading(tmp_path, database_url) as innkeeper:
        entry = await add(innkeeper, server.url("/disk.img"))
        assert (entry["state"], entry["size"], entry["received"]) == ("downloading", None, 0)
        assert "upload_uri" not in str(entry["sets"])
        ready = await ended(innkeeper, entry)
        assert (ready["state"], ready["size"], ready["received"], ready["expires"]) == (
            "ready", len(DISK), len(DISK), None,
        )  # fmt: skip
        assert (ready["url"], ready["error"]) == (server.url("/disk.img"), None)
        assert (files(innkeeper, "uploads"), files(innkeeper, "sha256")) == ([], [SHA256])
        assert await kinds(innkeeper) == ["image_added", "image_downloaded", "image_ready"]
        again = await add(innkeeper, server.url("/disk.img"))
        assert (again["id"], again["state"], len(server.requests)) == (entry["id"], "ready", 1)
        other = await add(innkeeper, server.url("/elsewhere"), name="y")
        assert (other["state"], len(server.requests)) == ("ready", 1)


@pytest.mark.slow
async def test_progress_is_shown(tmp_path: Path, database_url: str, server: FileServer) -> None:
    server.hold = threading.Event()
    async with downloading(tmp_path, database_url) as innkeeper:
        entry = await add(innkeeper, server.url("/disk.img"))

        async def progress() -> Any:
            found = await innkeeper.get(f"boot-resources/{entry['id']}/")
            return found if found["received"] else None

        half = await eventually(progress)
        assert (half["state"], 0 < half["received"] < half["size"] == len(DISK)) == ("downloading", True)
        assert await innkeeper.get("boot-resources/", op="is_importing") is True
        server.hold.set()
        assert (await ended(innkeeper, entry))["state"] == "ready"
        assert await innkeeper.get("boot-resources/", op="is_importing") is False


@pytest.mark.slow
async def test_a_cut_download_continues_where_it_ended(tmp_path: Path, database_url: str, server: FileServer) -> None:
    server.cuts = [MIB, 2 * MIB]
    server.statuses = [503]
    async with downloading(tmp_path, database_url) as innkeeper:
        ready = await ended(innkeeper, await add(innkeeper, server.url("/disk.img")))
        assert (ready["state"], ready["error"]) == ("ready", None)
        assert [wanted for _, wanted in server.requests] == [None, None, f"bytes={MIB}-", f"bytes={2 * MIB}-"]


@pytest.mark.parametrize("states_size", [True, False])
async def test_a_server_without_ranges_begins_again(
    tmp_path: Path, database_url: str, server: FileServer, states_size: bool
) -> None:
    server.takes_ranges, server.states_size = False, states_size
    server.cuts = [MIB] if states_size else []
    async with downloading(tmp_path, database_url) as innkeeper:
        ready = await ended(innkeeper, await add(innkeeper, server.url("/disk.img")))
        assert (ready["state"], ready["size"]) == ("ready", len(DISK))


@pytest.mark.slow
async def test_redirects_are_followed_and_packed_files_unpacked(
    tmp_path: Path, database_url: str, server: FileServer
) -> None:
    packed = gzip.compress(DISK)
    server.files["/disk.gz"] = packed
    server.redirects = {"/a": "/b", "/b": server.url("/disk.gz")}
    async with downloading(tmp_path, database_url) as innkeeper:
        entry = await add(innkeeper, server.url("/a"), sha256=hashlib.sha256(packed).hexdigest())
        ready = await ended(innkeeper, entry)
        assert (ready["state"], ready["content_sha256"], ready["url"]) == ("ready", SHA256, server.url("/a"))


@pytest.mark.slow
async def test_what_cannot_be_downloaded_fails_with_the_reason(
    tmp_path: Path, database_url: str, server: FileServer
) -> None:
    server.files |= {"/large": bytes(11 * MIB), "/other": raw_disk(seed=3), "/empty": b""}
    server.redirects = {"/loop": "/loop", "/ftp": "ftp://example.com/x", "/inside": "http://169.254.169.254/x"}
    wrong = hashlib.sha256(raw_disk(seed=3)).hexdigest()
    async with downloading(tmp_path, database_url, max_image_gib=0.01) as innkeeper:
        for path, fields, reason in (
            ("/missing", {}, "The server answers 404 Not Found."),
            ("/loop", {}, "The server redirects more than 5 times."),
            ("/ftp", {}, "The server refers to an address that is not used."),
            ("/inside", {}, "169.254.169.254 is this computer, of its local link"),
            ("/large", {}, "The file has 11 MiB; an image has 1 byte to 10.24 MiB"),
            ("/empty", {}, "The file has 0 bytes; an image has 1 byte"),
            ("/disk.img", {"size": 5}, f"The file has {len(DISK)} bytes; 5 were expected."),
            ("/other", {}, f"The content has the SHA-256 {wrong}; {SHA256} was declared."),
        ):
            failed = await ended(innkeeper, await add(innkeeper, server.url(path), **fields))
            assert (failed["state"], failed["error"].startswith(reason)) == ("failed", True), failed["error"]
            await eventually(lambda: files(innkeeper, "uploads") == [])
        assert await rejected_status(append(innkeeper, await declare(innkeeper, DISK), b"")) == 400
        server.states_size = False
        failed = await ended(innkeeper, await add(innkeeper, server.url("/large"), name="z"))
        assert "The file has more than" in failed["error"]


@pytest.mark.slow
async def test_a_server_that_stays_away_is_given_up(tmp_path: Path, database_url: str, server: FileServer) -> None:
    server.statuses = [503] * 8
    async with downloading(tmp_path, database_url) as innkeeper:
        entry = await add(innkeeper, server.url("/disk.img"))

        async def waits() -> Any:
            return (await innkeeper.get(f"boot-resources/{entry['id']}/"))["error"]

        assert await eventually(waits) == "The server answers 503 Service Unavailable."
        failed = await ended(innkeeper, entry)
        assert failed["error"] == "The server answers 503 Service Unavailable. The region has tried 8 times."
        ready = await ended(innkeeper, await add(innkeeper, server.url("/disk.img")))
        assert (ready["state"], ready["id"] != entry["id"]) == ("ready", True)


async def test_this_computer_is_no_server_unless_allowed(tmp_path: Path, database_url: str, server: FileServer) -> None:
    async with downloading(tmp_path, database_url, image_download_networks=()) as innkeeper:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            failed = await ended(innkeeper, await add(innkeeper, server.url("/disk.img", host)))
            assert "from which the region downloads nothing (setting image_download_networks)" in failed["error"]
        assert server.requests == []


async def test_a_wrong_request_names_the_field(tmp_path: Path, database_url: str) -> None:
    async with downloading(tmp_path, database_url) as innkeeper:
        for url in ("file:///etc/passwd", "https://", "https://user:secret@example.com/x", "https://a b/", "x"):
            assert list(await invalid_fields(add(innkeeper, url))) == ["url"], url
        assert list(await invalid_fields(add(innkeeper, "https://example.com/x", sha256=""))) == ["sha256"]
        assert await innkeeper.get("boot-resources/") == []


async def test_a_deleted_download_ends_and_leaves_nothing(
    tmp_path: Path, database_url: str, server: FileServer
) -> None:
    server.hold = threading.Event()
    async with downloading(tmp_path, database_url) as innkeeper:
        entry = await add(innkeeper, server.url("/disk.img"))
        await eventually(lambda: files(innkeeper, "uploads") != [])
        await innkeeper.delete(f"boot-resources/{entry['id']}/")
        server.hold.set()
        await eventually(lambda: files(innkeeper, "uploads") == [])
        server.hold = None
        ready = await ended(innkeeper, await add(innkeeper, server.url("/disk.img")))
        assert ready["state"] == "ready"


@pytest.mark.slow
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "stopped"])
async def test_a_download_continues_with_the_next_region(
    tmp_path: Path, database_url: str, server: FileServer, killed: bool
) -> None:
    server.hold = threading.Event()
    async with downloading(tmp_path, database_url, killable=True, checked=False) as innkeeper:
        entry = await add(innkeeper, server.url("/disk.img"))

        async def received() -> Any:
            return (await innkeeper.get(f"boot-resources/{entry['id']}/"))["received"]

        await eventually(received)
        if killed:
            innkeeper.kill(REGION)
        else:
            await innkeeper.in_process.stop_region()
        server.hold.set()
        server.hold = None
        await innkeeper.restart(REGION)
        assert (await checked(innkeeper, entry))["state"] == "ready"
        assert server.requests[-1][1] is not None


async def test_a_download_that_takes_a_day_is_given_up(tmp_path: Path, database_url: str, server: FileServer) -> None:
    server.statuses = [503] * 7  # one less than are tried: it does not end by itself while the clock is moved
    async with downloading(tmp_path, database_url) as innkeeper:
        entry = await add(innkeeper, server.url("/disk.img"))
        await eventually(lambda: len(server.statuses) < 7)
        async with innkeeper.connection() as db:
            await db.execute("update image set expires_at = expires_at - interval '1 day'")
        assert (await ended(innkeeper, entry))["error"] == "The download took longer than 24 hours."
        await eventually(lambda: files(innkeeper, "uploads") == [])  # a try that was under way ends first


@frozen(kw_only=True)
class MovingServer(DownloadRules):
    """127.0.0.1 stands for the networks in which a server is at one connection after the other."""

    reaches: list[Reach]

    def permits(self, address: str, *, chosen_by: Reach | None) -> bool:
        return self.reaches[0] is Reach.PUBLIC or chosen_by is not Reach.PUBLIC

    def reach(self, address: str) -> Reach:
        return self.reaches[0]


async def test_a_later_try_does_not_follow_a_server_into_a_private_network(
    tmp_path: Path, database_url: str, database: Database, server: FileServer
) -> None:
    rules = MovingServer(reaches=[Reach.PUBLIC])
    layer = wire_images(RegionSettings(database=database_url, state=tmp_path), database)
    uploads = layer.image_uploads
    downloads = ImageDownloads(
        database=database, folder=uploads.folder, threads=uploads.threads, space=uploads.space, rules=rules,
        wake_checks=lambda: None,
    )  # fmt: skip
    await add_administrator(database)
    admin = await Accounts(database, record_event=Events.record).user("admin")
    submitted = SubmittedImage(name="x", architecture="amd64", sha256=SHA256, url=server.url("/disk.img"))
    image = await uploads.declare(admin, submitted)
    server.cuts = [MIB]
    await downloads.run()
    rules.reaches[0] = Reach.PRIVATE
    async with database.connection() as db:
        await db.execute("update image set retry_at = now()")
    await downloads.run()
    found = await layer.images.read(image.id)
    assert (found.state, len(server.requests)) == (ImageState.FAILED, 1)
    assert (found.error or "").startswith("127.0.0.1 was a server of the internet before")
    again = await uploads.declare(admin, submitted)  # by a person who knows of the move
    await downloads.run()
    assert (await layer.images.read(again.id)).state is ImageState.CHECKING


@pytest.mark.slow
async def test_the_command_waits_for_a_download(tmp_path: Path, database_url: str, server: FileServer) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with downloading(tmp_path, database_url) as innkeeper:
        await logged_in(innkeeper, home)
        words = f"boot-resources create name=x architecture=amd64 sha256={SHA256} url={server.url('/disk.img')}"
        ran = await in_shell(home, f"innkeeper admin --wait {words}")
        assert (ran.status, ran.plain["state"], ran.plain["size"]) == (0, "ready", len(DISK)), ran.err
        failed = await in_shell(home, f"innkeeper admin --wait {words}x name=y sha256={'0' * 64}")
        assert (failed.status, failed.err.splitlines()[-1]) == (
            1, "The region cannot use the image: The server answers 404 Not Found.",
        )  # fmt: skip

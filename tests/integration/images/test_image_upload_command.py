"""`innkeeper PROFILE boot-resources create … content@=FILE`, against a region."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from common.errors import InnkeeperError, LinkLost
from innkeeper.answer import Answer
from innkeeper.commands.images import PART_BYTES, ImageUpload
from innkeeper.http import Api
from innkeeper.output.progress import Report
from regiond.process.file_folder import UploadFile
from tests.deployment.deployment import Deployment
from tests.support.administrators import API_KEY_FILE
from tests.support.disk_images import raw_disk
from tests.support.rejections import rejection
from tests.unit.command.processes import Ran, in_shell

pytestmark = pytest.mark.database

MIB = 2**20


def key_of(innkeeper: Deployment) -> str:
    return (innkeeper.in_process.settings.state / API_KEY_FILE).read_text().strip()


async def logged_in(innkeeper: Deployment, home: Path) -> None:
    ran = await in_shell(home, f"innkeeper login admin {innkeeper.region.api_url} {key_of(innkeeper)}")
    assert ran.status == 0, ran.err


async def create(home: Path, *more: str, file: str = "disk.img") -> Ran:
    words = f"boot-resources create name=x architecture=amd64 {' '.join(more)} content@={home / file}"
    return await in_shell(home, f"innkeeper admin {words}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.mark.slow
async def test_a_file_is_uploaded_in_parts_and_checked(rackless: Deployment, home: Path) -> None:
    (home / "disk.img").write_bytes(raw_disk(2 * PART_BYTES + MIB))
    await logged_in(rackless, home)
    ran = await create(home, "title=Mine")
    assert (ran.status, ran.plain["state"], ran.plain["title"]) == (0, "ready", "Mine"), ran.err
    again = await create(home)
    assert (again.status, again.plain["id"]) == (0, ran.plain["id"])
    listed = await in_shell(home, "innkeeper --table admin boot-resources read")
    assert [line.split()[:3] for line in listed.out.splitlines()][1:] == [["1000", "custom/x", "amd64/generic"]]
    deleted = await in_shell(home, "innkeeper admin boot-resource delete 1000")
    assert (deleted.status, await rackless.get("boot-resources/")) == (0, [])


@pytest.mark.slow
async def test_what_cannot_be_uploaded_is_said(rackless: Deployment, home: Path) -> None:
    await logged_in(rackless, home)
    missing = await create(home, file="other.img")
    assert (missing.status != 0, f"cannot read {home}/other.img: No such file" in missing.err) == (True, True)
    (home / "disk.img").write_bytes(b"<html>Not Found</html>")
    failed = await create(home)
    assert failed.status != 0
    assert "The region cannot use the file: The content begins with 3c 68 74 6d" in failed.err
    wrong = await create(home, "filetype=tgz")
    assert "filetype: Images of the type tgz are root file systems" in wrong.err


@define
class Reports:
    """A progress that remembers what it was told."""

    steps: list[str] = field(factory=list)

    def begin(self, text: str) -> None:
        self.steps.append(text)

    def report(self, report: Report) -> None:
        self.steps.append(f"{report.state}: {report.step}")

    def end(self) -> None:
        self.steps.append("end")


class Unreliable(Api):
    """Loses answers: the requests with these numbers are carried out, and the next ones fail before they are sent."""

    def __init__(self, of: Api, key: str, *, lost: Mapping[int, bool]) -> None:
        super().__init__(of.url, key)
        self.puts = 0
        self.lost = lost

    async def send(self, method: Any, path: str, **more: Any) -> Answer:
        if method != "PUT":
            return await super().send(method, path, **more)
        self.puts += 1
        is_sent = self.lost.get(self.puts)
        if is_sent is None:
            return await super().send(method, path, **more)
        if is_sent:
            await super().send(method, path, **more)
        raise LinkLost("The connection was lost.")


class Restarting(Unreliable):
    """The second part finds no region, and neither do the next requests, whatever they ask."""

    refusals = 5

    async def send(self, method: Any, path: str, **more: Any) -> Answer:
        if self.puts and self.refusals:
            self.refusals -= 1
            raise InnkeeperError("Cannot connect to the region: connection refused.", unreachable=True)
        return await super().send(method, path, **more)


class Occupied(Unreliable):
    """Another request writes to the upload until this one is refused."""

    def __init__(self, of: Api, key: str, other: UploadFile) -> None:
        super().__init__(of, key, lost={})
        self.other = other

    async def send(self, method: Any, path: str, **more: Any) -> Answer:
        try:
            return await super().send(method, path, **more)
        except InnkeeperError:
            self.other.close()
            raise


def uploading(innkeeper: Deployment, path: Path, reports: Reports, lost: Mapping[int, bool]) -> ImageUpload:
    return ImageUpload(
        api=Unreliable(innkeeper.api, key_of(innkeeper), lost=lost), path=path,
        plain=[("name", "x"), ("architecture", "amd64")], waits=True, progress=reports, retry_after_s=0,
    )  # fmt: skip


async def test_lost_answers_and_requests_are_made_up_for(rackless: Deployment, home: Path) -> None:
    path = home / "disk.img"
    path.write_bytes(raw_disk(2 * PART_BYTES + MIB))
    reports = Reports()
    entry = await uploading(rackless, path, reports, lost={1: True, 2: False, 3: False}).run()
    assert (entry["state"], entry["received"]) == ("ready", path.stat().st_size)
    assert reports.steps[:3] == ["Uploading disk.img.", "uploading: 0 of 9 MiB", "uploading: 4 of 9 MiB"]
    assert reports.steps[-1] == "end"


async def test_a_lost_region_ends_the_upload_which_can_continue(rackless: Deployment, home: Path) -> None:
    path = home / "disk.img"
    path.write_bytes(raw_disk(2 * PART_BYTES))
    lost = {number: False for number in range(2, 20)}
    error: InnkeeperError = await rejection(uploading(rackless, path, Reports(), lost).run())
    assert error.message == "The connection was lost. Repeat the command: it continues the upload."
    reports = Reports()
    assert (await uploading(rackless, path, reports, {}).run())["state"] == "ready"
    assert reports.steps[1] == "uploading: 4 of 8 MiB"


@pytest.mark.slow
async def test_a_part_that_is_still_being_written_is_tried_again(rackless: Deployment, home: Path) -> None:
    """As after a lost connection, while the region still records what came over it."""
    path = home / "disk.img"
    path.write_bytes(raw_disk(MIB))
    sending = uploading(rackless, path, Reports(), {})
    declared = await rackless.post(
        "boot-resources/", name="x", architecture="amd64", size=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip
    other = rackless.region.components.services.image_uploads.folder.lock(declared["id"])
    occupied = Occupied(rackless.api, key_of(rackless), other)
    assert (await evolve(sending, api=occupied).run())["state"] == "ready"
    assert occupied.puts == 2


async def test_a_region_that_restarts_continues_the_upload(rackless: Deployment, home: Path) -> None:
    path = home / "disk.img"
    path.write_bytes(raw_disk(2 * PART_BYTES))
    restarting = Restarting(rackless.api, key_of(rackless), lost={})
    entry = await evolve(uploading(rackless, path, Reports(), {}), api=restarting).run()
    assert (entry["state"], restarting.refusals, restarting.puts) == ("ready", 0, 2)

"""Images from simplestreams servers: Ubuntu's and LXD's formats, over HTTPS, with checksums verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.doubles.file_server import FileServer, file_server
from tests.doubles.stream_tree import lxd, ubuntu
from tests.integration.images.test_image_downloads import downloading, ended
from tests.integration.images.test_image_upload_command import logged_in
from tests.integration.images.test_images import files
from tests.integration.support.users import as_user
from tests.support.certificate_pairs import make_pair
from tests.support.disk_images import MIB, qcow2, raw_disk
from tests.support.rejections import invalid_fields, rejected_status
from tests.unit.command.processes import in_shell

pytestmark = pytest.mark.database

DISK = raw_disk(2 * MIB)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """With a certificate that this computer trusts."""
    pair = make_pair("images.test")
    both, trusted = tmp_path / "both.pem", tmp_path / "trusted.pem"
    both.write_bytes(pair.certificate_pem + pair.key_pem)
    trusted.write_bytes(pair.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with file_server(both) as served:
        yield served


async def import_(innkeeper: Deployment, server: str, image: str, **fields: Any) -> Any:
    given = {"server": server, "image": image, "architecture": "amd64", **fields}
    return await innkeeper.post("boot-resources/", op="import", **given)


@pytest.mark.slow
async def test_an_image_of_ubuntu_is_imported(tmp_path: Path, database_url: str, server: FileServer) -> None:
    server.files |= ubuntu(DISK)
    async with downloading(tmp_path, database_url) as innkeeper:
        entry = await import_(innkeeper, server.url("/releases"), "noble")
        ready = await ended(innkeeper, entry)
        assert (ready["state"], ready["name"], ready["title"], ready["architecture"]) == (
            "ready", "ubuntu/noble", "Ubuntu 24.04 LTS (20240608)", "amd64/generic",
        )  # fmt: skip
        assert ready["url"] == server.url("/releases/server/releases/noble/release-20240608/disk.img")
        assert files(innkeeper, "sha256") == [hashlib.sha256(DISK).hexdigest()]
        again = await import_(innkeeper, server.url("/releases/streams/v1/index.json"), "24.04")
        assert (again["id"], again["state"]) == (ready["id"], "ready")
        assert await rejected_status(import_(innkeeper, server.url("/releases"), "noble", version="20240423")) == 409
        older = await import_(innkeeper, server.url("/releases"), "noble", version="20240423", name="old")
        failed = await ended(innkeeper, older)
        assert (failed["name"], failed["state"]) == ("custom/old", "failed")  # its content is no disk


@pytest.mark.slow
async def test_an_image_of_an_lxd_server_is_imported(tmp_path: Path, database_url: str, server: FileServer) -> None:
    disk = qcow2(tmp_path / "disk", data=DISK)
    server.files |= lxd(disk)
    async with downloading(tmp_path, database_url) as innkeeper:
        entry = await import_(innkeeper, server.url(""), "debian/12", title="Debian")
        ready = await ended(innkeeper, entry)
        assert (ready["state"], ready["name"], ready["title"], ready["format"]) == (
            "ready", "debian/bookworm", "Debian", "qcow2",
        )  # fmt: skip
        assert ready["url"].endswith("/cloud/disk.qcow2")


async def test_a_disk_that_is_not_the_listed_one_fails(tmp_path: Path, database_url: str, server: FileServer) -> None:
    server.files |= ubuntu(DISK)
    path = "/releases/server/releases/noble/release-20240608/disk.img"
    server.files[path] = raw_disk(2 * MIB, seed=1)
    async with downloading(tmp_path, database_url) as innkeeper:
        failed = await ended(innkeeper, await import_(innkeeper, server.url("/releases"), "noble"))
        assert failed["error"].endswith(f"{hashlib.sha256(DISK).hexdigest()} was declared.")
        assert files(innkeeper, "sha256") == []


async def test_what_cannot_be_imported_names_the_field(
    tmp_path: Path, database_url: str, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files |= ubuntu(DISK)
    server.redirects["/moved/streams/v1/index.json"] = "http://127.0.0.1:1/index.json"
    releases = server.url("/releases")
    index = "/streams/v1/index.json"
    for path in ("https://10.0.0.1/products.json", "//10.0.0.1/products.json"):
        listed = {"index": {"x": {"datatype": "image-downloads", "path": path}}}
        server.files[f"/{len(path)}{index}"] = json.dumps(listed).encode()
    async with downloading(tmp_path, database_url) as innkeeper:
        for address, image, fields, field, reason in (
            (releases, "plucky", {}, "image", "There is no image 'plucky'"),
            (releases, "noble", {"version": "1"}, "version", "20240608"),
            (releases, "noble", {"architecture": "vax"}, "architecture", "'vax' is not one of"),
            (releases.replace("https", "http"), "noble", {}, "server", "The address begins with https://."),
            (server.url("/moved"), "noble", {}, "server", "The address begins with https://."),
            (server.url("/elsewhere"), "noble", {}, "server", "The server answers 404 Not Found."),
            (server.url("/30"), "noble", {}, "server", "a file on another server: 'https://10.0.0.1/products.json'"),
            (server.url("/24"), "noble", {}, "server", "a file on another server: 'https://10.0.0.1/products.json'"),
        ):
            problems = await invalid_fields(import_(innkeeper, address, image, **fields))
            assert (list(problems), reason in problems[field][0]) == ([field], True), problems
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        problems = await invalid_fields(import_(innkeeper, releases, "noble"))
        assert "The certificate of 127.0.0.1 is not valid" in problems["server"][0]
        assert await innkeeper.get("boot-resources/") == []
        ann = await as_user(innkeeper, "ann")
        assert await rejected_status(import_(ann, releases, "noble")) == 403


@pytest.mark.slow
async def test_the_command_imports(tmp_path: Path, database_url: str, server: FileServer) -> None:
    server.files |= ubuntu(DISK)
    home = tmp_path / "home"
    home.mkdir()
    async with downloading(tmp_path, database_url) as innkeeper:
        await logged_in(innkeeper, home)
        words = f"boot-resources import server={server.url('/releases')} image=noble architecture=amd64"
        ran = await in_shell(home, f"innkeeper admin --wait {words}")
        assert (ran.status, ran.plain["state"], ran.plain["name"]) == (0, "ready", "ubuntu/noble"), ran.err

"""Files that a person may give as a dump: forms that are read, and what is said of others."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import InvalidRequest
from innkeeper.maas_import import dump_file
from innkeeper.maas_import.service import read_dump
from tests.maas_site.script import script_of
from tests.maas_site.site import site
from tests.maas_site.versions import site_of
from tests.support.waiting import eventually

SCRIPT = script_of(site_of("3.7", site() | {"maasserver_vaultsecret": [{"path": "node/1", "deleted": False}]}))
# The beginning of an archive that pg_dump 99 could write.
ARCHIVE = b"PGDMP" + bytes([1, 99, 0, 4, 8, 1]) + bytes(40)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
async def test_plain_and_compressed_scripts_are_read(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "site.dump"
    path.write_bytes(compress(SCRIPT))
    found = await read_dump(path)
    assert found.origin.label == "site.dump"
    assert len(found.machines) == 40


def _tar() -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("backup/site.sql"))
    return whole.getvalue()


def _sqlite() -> bytes:
    database = sqlite3.connect(":memory:")
    database.execute("create table one (id)")
    return database.serialize()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty. Make a new dump"),
        (b"-- MySQL dump 10.13\nCREATE TABLE `node`;\n", "no rows of a dump of PostgreSQL"),
        (b"just a text", "no rows of a dump of PostgreSQL.*--schema-only"),
        (_sqlite(), "a binary file of another kind"),
        (_tar(), "is a tar archive: unpack it"),
        (gzip.compress(_tar()), "is a compressed archive: decompress it first"),
        (gzip.compress(ARCHIVE), "is a compressed archive: decompress it first"),
        (gzip.compress(b""), "is empty"),
        (gzip.compress(SCRIPT)[:2000], "not complete: the compressed file has no end"),
        (gzip.compress(SCRIPT)[:10] + b"\xff" * 400, "cannot be decompressed"),
        (lzma.compress(SCRIPT)[:1000] + b"\xff" * 4000, "cannot be decompressed"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "compressed with zstd: decompress it first"),
        (SCRIPT[: len(SCRIPT) // 2], "is not complete"),
        (
            b"COPY public.invoice (id) FROM stdin;\n1\n\\.\n",
            "not of MAAS: it has the tables invoice, and no maasserver",
        ),
    ],
    ids=[
        "empty",
        "mysql",
        "text",
        "sqlite",
        "tar",
        "tar in gzip",
        "archive in gzip",
        "empty gzip",
        "cut gzip",
        "damaged gzip",
        "damaged xz",
        "zstd",
        "cut script",
        "another program",
    ],  # contents differ between processes
)
async def test_other_files_are_refused_in_words(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=problem):
        await read_dump(path)


async def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nothing cannot be read: No such file"):
        await read_dump(tmp_path / "nothing")
    with pytest.raises(InvalidRequest, match="is a folder, and not one of pg_dump"):
        await read_dump(tmp_path)


def program(folder: Path, script: str, release: str = "15.4") -> str:
    path = folder / "pg_restore"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "pg_restore (PostgreSQL) {release}" && exit\n{script}\n')
    path.chmod(0o700)
    return str(path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return archive_of(tmp_path, 99)


def archive_of(folder: Path, version: int) -> Path:
    path = folder / "site.custom"
    path.write_bytes(ARCHIVE.replace(bytes([1, 99]), bytes([1, version])))
    return path


@pytest.mark.parametrize(
    ("version", "helps"), [(99, "a newer postgresql-client or later"), (16, "postgresql-client-17 or later")]
)
async def test_an_archive_of_a_newer_release_says_what_helps(version: int, helps: str, tmp_path: Path) -> None:
    archive = archive_of(tmp_path, version)
    words = "pg_restore: error: unsupported version (1.99) in file header"
    old = program(tmp_path, f'echo "{words}" >&2; exit 1')
    with pytest.raises(InvalidRequest, match=rf"PostgreSQL 15\).*Install {helps}.*--format=plain"):
        await read_dump(archive, restorers=[old])


async def test_without_a_program_for_archives_its_package_is_named(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequest, match=r"none on this computer.*apt install postgresql-client.*--format=plain"):
        await read_dump(archive, restorers=[])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dump_file, "_PACKAGED", tmp_path)
    with pytest.raises(InvalidRequest, match="none on this computer"):
        await read_dump(archive)


async def test_the_words_of_a_failed_program_are_shown(archive: Path, tmp_path: Path) -> None:
    failing = program(tmp_path, 'echo "-- PostgreSQL database dump"; echo "could not read: end of file" >&2; exit 1')
    with pytest.raises(InvalidRequest, match=r"pg_restore says: could not read: end of file. The dump may be cut"):
        await read_dump(archive, restorers=[failing])


async def test_a_program_that_ends_early_is_no_dump(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="not complete: it has no end"):
        await read_dump(archive, restorers=[program(tmp_path, 'echo "-- PostgreSQL database dump"')])


async def test_a_row_that_is_refused_is_named_whatever_the_program_does_then(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(b"COPY public.maasserver_zone (id, name, description) FROM stdin;\n1\n" * 100_000)
    with pytest.raises(InvalidRequest, match="A row of maasserver_zone has 1 values instead of 3"):
        await read_dump(archive, restorers=[program(tmp_path, f"cat {tmp_path}/script || exit 1")])


@pytest.mark.parametrize("then", ["exec yes", "exec sleep 1000"])
async def test_a_cancelled_caller_ends_the_program(then: str, archive: Path, tmp_path: Path) -> None:
    """The program goes on writing, or is silent."""
    noted = tmp_path / "pid"
    endless = program(tmp_path, f"echo $$ > {noted}.new; mv {noted}.new {noted}; {then}")
    reading = asyncio.create_task(read_dump(archive, restorers=[endless]))
    await eventually(noted.exists)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    process = Path("/proc") / noted.read_text().strip()
    await eventually(lambda: not process.exists())


async def test_the_newest_program_is_used(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    newer = program(tmp_path / "new", f"cat {tmp_path}/script", release="18.1")
    (tmp_path / "script").write_bytes(SCRIPT)
    found = await read_dump(archive, restorers=[program(tmp_path, "exit 1"), newer, "/nowhere/pg_restore"])
    assert len(found.hosts) == 6

"""`innkeeper region backup` and `verify-backup`, against a real PostgreSQL and its own programs."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.errors import BadSettings
from common.process.daemon import FAILED
from regiond.backup import programs
from regiond.backup.archive import KEY, SETTINGS, ArchiveReader
from regiond.backup.model import BackupFailed, Contents
from regiond.backup.store import export_snapshot, server_version
from regiond.backup.target import Target
from regiond.backup.writing import Source, write_backup
from regiond.commands.backup_command_line import run
from regiond.credentials.master_key import open_master_key
from regiond.credentials.seal import MasterKey
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.operations.idempotency.service import IdempotencyKeys
from regiond.process.settings import RegionSettings
from regiond.racks.enrolment.installation import open_authority
from tests.postgresql.database import execute, execute_as_superuser, fetchval, named

pytestmark = pytest.mark.database
PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105
CHEAP = 2
TOML = b'database = "postgresql:///innkeeper"\n'
MASTER_KEY = MasterKey(bytes(32))
_IMAGE = """
    insert into image (name, architecture, sha256, size_bytes, virtual_size_bytes, format, state, store_id)
    values ('custom/x', 'amd64', $1, $2, 10, 'raw', 'ready', gen_random_uuid())
"""


async def backed_up(
    path: Path, dsn: str, *, images: Path | None = None, master_key: MasterKey = MASTER_KEY
) -> Contents:
    source = Source(dsn=dsn, master_key=master_key, authority_pem=b"the authority", settings=TOML, images=images)
    target = Target.open(path)
    try:
        contents = await write_backup(source, target.file, PASSPHRASE, work_factor=CHEAP)
        target.commit()
    finally:
        target.discard()
    return contents


def opened(path: Path) -> ArchiveReader:
    return ArchiveReader.open(path.open("rb"), PASSPHRASE)


async def test_a_backup_has_the_rows_the_keys_and_the_settings(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await execute(database, "insert into account (username) values ('ann'), ('bob')")
    contents = await backed_up(tmp_path / "one", database_url)
    assert contents.manifest.counts["account"] == 2
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    archive, dump = opened(tmp_path / "one"), bytearray()
    assert archive.read(dump.extend) == contents
    assert (archive.private[KEY], archive.private[SETTINGS]) == (b"A" * 43 + b"=\n", TOML)
    program = programs.find("pg_restore", at_least=int(contents.manifest.postgresql.partition(".")[0]))
    restored = subprocess.run(  # noqa: ASYNC221
        [program.path, "--data-only", "--table=account", "--table=schema_migration", "--file=-"],
        input=bytes(dump), capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert (b"\tann\t" in restored, b"\tbob\t" in restored) == (True, True)
    # Without these rows no region starts on a dump that was restored by hand: its numbers would be used again.
    assert b"0001_initial.sql" not in restored
    assert contents.manifest.migrations[0].name == "0001_initial.sql"


@pytest.mark.slow
async def test_images_are_saved_on_request(database: Database, database_url: str, tmp_path: Path) -> None:
    content = b"an image" * 1000
    sha256 = hashlib.sha256(content).hexdigest()
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / sha256).write_bytes(content)
    await execute(database, _IMAGE, sha256, len(content))
    found: dict[str, bytes] = {}
    await backed_up(tmp_path / "with", database_url, images=folder)
    opened(tmp_path / "with").read(on_image=lambda name, file: found.update({name: file.read()}))
    assert found == {sha256: content}
    await backed_up(tmp_path / "without", database_url)
    listed = opened(tmp_path / "without").read(on_image=lambda *_: pytest.fail("an image that nobody asked for"))
    assert [(one.name, one.included) for one in listed.manifest.images] == [("custom/x", False)]


async def test_a_failed_backup_leaves_the_earlier_file(database: Database, database_url: str, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"the earlier one")
    await IdempotencyKeys.open(database, Credentials(MASTER_KEY))
    with pytest.raises(BadSettings, match="Restore the right key file"):
        await backed_up(tmp_path / "one", database_url, master_key=MasterKey(bytes(31) + b"x"))
    assert os.listdir(tmp_path) == ["one"]
    assert (tmp_path / "one").read_bytes() == b"the earlier one"
    with pytest.raises(BackupFailed, match=r"pg_dump failed: .*no_such_database"):
        programs.dump(
            named(database_url, "no_such_database"), programs.find("pg_dump", at_least=15), snapshot="0-1",
            without_rows_of="x", on_data=lambda _: None,
        )  # fmt: skip


async def test_a_full_disk_is_named_in_words(database_url: str, tmp_path: Path) -> None:
    source = Source(dsn=database_url, master_key=MASTER_KEY, authority_pem=b"", settings=None)
    with open("/dev/full", "w+b", buffering=0) as full, pytest.raises(BackupFailed, match="The disk is full"):  # noqa: ASYNC230
        await write_backup(source, full, PASSPHRASE, work_factor=CHEAP)


def test_an_old_program_is_named_with_what_to_install() -> None:
    with pytest.raises(BackupFailed, match="apt install postgresql-client-99"):
        programs.find("pg_dump", at_least=99)


def test_a_password_is_no_argument_of_a_program() -> None:
    dsn = "postgresql://ann:s%40cret@db.example.net/innkeeper?sslmode=require"
    with programs.environment_of(dsn) as environment:
        assert environment == {"PGPASSWORD": "s@cret"}
    assert programs.without_password(dsn) == "postgresql://ann@db.example.net/innkeeper?sslmode=require"
    assert programs.without_password("postgresql:///x?password=y&host=/run") == "postgresql:///x?host=%2Frun"
    # libpq does not read + as a space.
    assert programs.without_password("postgresql:///x?options=-c%20a%3Db") == "postgresql:///x?options=-c%20a%3Db"
    noticing = "keepalives_idle=10&keepalives_interval=5&keepalives_count=3&tcp_user_timeout=30000"
    assert programs.argument_of("postgresql:///x") == f"postgresql:///x?connect_timeout=10&{noticing}"
    chosen = "postgresql:///x?host=%2Frun&connect_timeout=3"
    assert programs.argument_of(chosen) == f"{chosen}&{noticing}"


async def test_the_password_of_a_client_key_is_no_argument(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    dsn = f"{database_url}{'&' if '?' in database_url else '?'}sslpassword=s%20cret%2B"
    dumped: list[bytes] = []
    async with database.transaction() as db:
        snapshot, release = await export_snapshot(db), int(float(await server_version(db)))
        real = programs.find("pg_dump", at_least=release)
        noting = tmp_path / "pg_dump"
        noting.write_text(
            f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\nstat -c %a $PGSERVICEFILE >{tmp_path}/file\n'
            f'cat $PGSERVICEFILE >>{tmp_path}/file\nexec {real.path} "$@"\n'
        )
        noting.chmod(0o700)
        await asyncio.to_thread(
            programs.dump, dsn, programs.Program(str(noting), release), snapshot=snapshot, without_rows_of="x",
            on_data=dumped.append,
        )  # fmt: skip
    assert b"".join(dumped).startswith(b"PGDMP")
    arguments = (tmp_path / "arguments").read_text()
    assert "cret" not in arguments
    assert "service=innkeeper" in arguments
    assert (tmp_path / "file").read_text() == "600\n[innkeeper]\nsslpassword=s cret+\n"


async def test_a_backup_outlasts_the_server_s_limit_of_idle_time(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    name = urlsplit(database_url).path.strip("/")
    await execute_as_superuser(
        database_url, f"alter database \"{name}\" set idle_in_transaction_session_timeout = '1ms'"
    )
    assert (await backed_up(tmp_path / "one", database_url)).dump_bytes > 0


async def test_an_image_that_lost_its_end_is_named(database: Database, database_url: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / ("a" * 64)).write_bytes(b"short")
    await execute(database, _IMAGE, "a" * 64, 8000)
    with pytest.raises(BackupFailed, match="custom/x has 5 bytes instead of 8,000"):
        await backed_up(tmp_path / "one", database_url, images=tmp_path / "images")


def test_a_pipe_is_refused_since_a_backup_is_read_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "phrase").write_text(PASSPHRASE)
    reading, writing = os.pipe()
    options = Namespace(command="verify-backup", file=Path(f"/dev/fd/{reading}"), passphrase_file=tmp_path / "phrase")
    assert run(RegionSettings(), options, None) == FAILED
    assert "is no file that can be read twice" in capsys.readouterr().err
    os.close(reading)
    os.close(writing)


@pytest.fixture
def command(database_url: str, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs a command as an administrator does; returns its status and output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INNKEEPER_")}
    environment |= {"INNKEEPER_DATABASE": database_url, "INNKEEPER_STATE": str(tmp_path / "state")}

    def ran_with(*argv: str, **more: str) -> tuple[int, str]:
        ran = subprocess.run(
            [sys.executable, "-m", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=environment | more, timeout=120, check=False,
        )  # fmt: skip
        return ran.returncode, ran.stdout + ran.stderr

    return ran_with


@pytest.mark.slow  # four times 2^18 rounds of scrypt
async def test_the_commands_write_and_check_a_backup(
    database: Database, command: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    path = str(tmp_path / "nightly.backup")
    backup = ("innkeeper", "region", "backup", path)
    status, output = command(*backup, BACKUP_PASSPHRASE=PASSPHRASE)
    assert (status, "No region has used this database yet" in output) == (1, True), output
    async with database.transaction() as db:
        await open_authority(db, tmp_path / "state")
    open_master_key(tmp_path / "state", {}, create=True)
    status, output = command(*backup)
    assert (status, "No pass phrase" in output) == (1, True), output
    status, output = command(*backup, BACKUP_PASSPHRASE="short")  # noqa: S106
    assert (status, "use at least 12" in output) == (1, True), output
    (tmp_path / "phrase").write_text(f"{PASSPHRASE}\nnot this line\n")
    status, output = command(*backup, f"--passphrase-file={tmp_path / 'phrase'}")
    assert (status, "read back and complete" in output) == (0, True), output
    verify = ("innkeeper", "region", "verify-backup", path)
    status, output = command(*verify, BACKUP_PASSPHRASE=PASSPHRASE)
    assert (status, "Complete. Made at" in output) == (0, True), output
    status, output = command(*verify, BACKUP_PASSPHRASE="another-pass-phrase")  # noqa: S106
    assert (status, "The pass phrase is wrong" in output) == (1, True), output
    assert sorted(os.listdir(tmp_path)) == ["nightly.backup", "phrase", "state"]
    audited = await fetchval(database, "select count(*) from audit_entry where content like '%regiond.backup%'")
    assert audited >= 1

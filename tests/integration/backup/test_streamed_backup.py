"""`innkeeper region backup -` writes to a pipe, such as one to another computer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regiond.backup.model import BackupFailed
from regiond.backup.writing import Source, verify, write_backup
from regiond.credentials.master_key import open_master_key
from regiond.credentials.seal import MasterKey
from regiond.db.pool import Database
from regiond.racks.enrolment.installation import open_authority

pytestmark = pytest.mark.database
PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105


@pytest.mark.slow  # 2^18 rounds of scrypt
async def test_a_backup_can_be_piped_elsewhere(database: Database, database_url: str, tmp_path: Path) -> None:
    async with database.transaction() as db:
        await open_authority(db, tmp_path / "state")
    open_master_key(tmp_path / "state", {}, create=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INNKEEPER_")}
    environment |= {
        "INNKEEPER_DATABASE": database_url, "INNKEEPER_STATE": str(tmp_path / "state"),
        "INNKEEPER_LOG_LEVEL": "debug", "BACKUP_PASSPHRASE": PASSPHRASE,
    }  # fmt: skip
    command = [sys.executable, "-m", "innkeeper", "region", "backup", "-"]
    ran = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)  # noqa: ASYNC221
    assert ran.returncode == 0, ran.stderr
    assert b"Saved 0 VMs" in ran.stderr
    assert b"The copy was not read back" in ran.stderr
    (tmp_path / "copy").write_bytes(ran.stdout)
    with (tmp_path / "copy").open("rb") as file:
        assert verify(file, PASSPHRASE).dump_bytes > 0
    assert sorted(os.listdir(tmp_path)) == ["copy", "state"]


async def test_a_reader_that_ends_is_named(database_url: str) -> None:
    source = Source(dsn=database_url, master_key=MasterKey(bytes(32)), authority_pem=b"", settings=None)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe, pytest.raises(BackupFailed, match="its copy is incomplete"):
        await write_backup(source, pipe, PASSPHRASE, read_back=False, work_factor=2)

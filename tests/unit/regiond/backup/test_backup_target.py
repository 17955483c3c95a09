"""The file of a backup: unfinished ones of killed backups go, one that is being written stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from regiond.backup.model import BackupFailed
from regiond.backup.target import Target

_WRITES_FOR_EVER = """
import signal, sys
from pathlib import Path
from regiond.backup.target import Target
target = Target.open(Path(sys.argv[1]))
target.file.write(b"half")
target.file.flush()
print("began", flush=True)
signal.pause()
"""


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_the_next_backup_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "to[day]"
    with subprocess.Popen([sys.executable, "-c", _WRITES_FOR_EVER, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"began\n"
        written = set(names(tmp_path))
        (tmp_path / ".to[day].of-mine").touch()
        (tmp_path / ".tomorrow.abcdefgh.unfinished").touch()
        Target.open(path).discard()
        assert set(names(tmp_path)) == written | {".to[day].of-mine", ".tomorrow.abcdefgh.unfinished"}
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    target = Target.open(path)
    target.commit()
    assert names(tmp_path) == [".to[day].of-mine", ".tomorrow.abcdefgh.unfinished", "to[day]"]


def test_a_folder_that_disappears_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target = Target.open(tmp_path / "folder/today")
    target.temporary.unlink()
    (tmp_path / "folder").rmdir()
    with pytest.raises(BackupFailed, match=r"could not be stored as .*/folder/today: No such file"):
        target.commit()
    target.discard()

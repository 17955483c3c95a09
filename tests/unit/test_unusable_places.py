"""Folders and streams that cannot be written to end in one sentence, never in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import BadSettings
from common.private_files import make_usable_folder
from common.rpc.tokens import JoinToken, encode_token
from rackd.joining import join

INNKEEPER = (sys.executable, "-m", "innkeeper")


def test_a_usable_folder_is_made_private_and_left_empty(tmp_path: Path) -> None:
    make_usable_folder(tmp_path / "deep" / "state")
    make_usable_folder(tmp_path / "deep" / "state")
    assert (tmp_path / "deep" / "state").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "deep" / "state").iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nothing"])
def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadSettings, match=r"^The folder \S+ cannot be used: [A-Z][a-z ]+\.$"):
        make_usable_folder(tmp_path / place)


async def test_no_region_is_asked_to_take_the_token_of_a_rack_that_could_not_keep_its_identity(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    token = JoinToken(addresses=("127.0.0.1:1",), authority_fingerprint="0" * 64, secret="s")  # noqa: S106  # no secret
    with pytest.raises(BadSettings, match="cannot be used"):
        await join(encode_token(token), tmp_path / "file", "rack")


@pytest.mark.parametrize("arguments", [("--help",), ("profiles",)])
@pytest.mark.parametrize(
    ("streams", "status", "said"),
    [
        (">/dev/full", 1, "The output cannot be written: No space left on device.\n"),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
    ],
)
def test_a_command_ends_well_whatever_its_streams(
    tmp_path: Path, arguments: tuple[str, ...], streams: str, status: int, said: str
) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {streams}', "sh", *INNKEEPER, *arguments],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (status, said)

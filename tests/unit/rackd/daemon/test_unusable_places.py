"""A command with an unwritable folder or stream ends with one sentence, never with a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import BadSettings
from common.process.private_files import make_usable_folder
from common.rpc.tokens import JoinToken, encode_token
from rackd.enrolment import join

INNKEEPER = (sys.executable, "-m", "innkeeper")


def test_a_usable_folder_becomes_private_and_stays_empty(tmp_path: Path) -> None:
    make_usable_folder(tmp_path / "deep" / "state")
    make_usable_folder(tmp_path / "deep" / "state")
    assert (tmp_path / "deep" / "state").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "deep" / "state").iterdir()) == []


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/nothing"])
def test_an_unusable_folder_is_named_in_the_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadSettings, match=r"^Cannot use the folder \S+: [A-Z][a-z ]+\.$"):
        make_usable_folder(tmp_path / folder)


async def test_a_rack_that_cannot_store_its_identity_sends_no_token(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    token = JoinToken(addresses=("127.0.0.1:1",), authority_fingerprint="0" * 64, secret="s")  # noqa: S106  # not a secret
    with pytest.raises(BadSettings, match="Cannot use the folder"):
        await join(encode_token(token), tmp_path / "file", "rack")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--help",), ("profiles",)])
@pytest.mark.parametrize(
    ("streams", "status", "message"),
    [
        (">/dev/full", 1, "Cannot write the output: No space left on device.\n"),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
    ],
)
def test_a_command_ends_without_a_traceback_on_broken_streams(
    tmp_path: Path, arguments: tuple[str, ...], streams: str, status: int, message: str
) -> None:
    result = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {streams}', "sh", *INNKEEPER, *arguments],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (status, message)

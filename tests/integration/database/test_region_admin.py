"""`innkeeper region admin create` and `regiond password` on the region's machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from regiond.db.pool import Database

pytestmark = pytest.mark.database
PASSWORD = "vault-orbit-kettle-91"  # noqa: S105
Create = Callable[..., tuple[int, str]]


@pytest.fixture
def create(database_url: str, tmp_path: Path) -> Create:
    """Runs the command with a line of standard input; returns its status and output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INNKEEPER_")}
    environment |= {"INNKEEPER_DATABASE": database_url, "INNKEEPER_STATE": str(tmp_path)}

    def run(*options: str, entered: str = PASSWORD, command: str = "innkeeper region admin create") -> tuple[int, str]:
        ran = subprocess.run(
            [sys.executable, "-m", *command.split(), *options],
            input=f"{entered}\n", capture_output=True, text=True, env=environment, timeout=90, check=False,
        )  # fmt: skip
        return ran.returncode, ran.stdout + ran.stderr

    return run


@pytest.mark.slow
async def test_the_first_administrator_is_created_once(database: Database, create: Create) -> None:
    status, output = create(entered="short")
    assert (status, "at least 12 characters, not 5" in output) == (1, True), output
    assert create()[0] == 0
    status, output = create()
    assert (status, "There is an administrator already: admin" in output) == (1, True), output
    assert create("--username", "ann")[0] == 0
    assert create("--username", "ann")[0] == 1
    status, output = create("ann", command="regiond password", entered="another-vault-orbit-52")
    assert (status, "The password of ann is set." in output) == (0, True), output
    status, output = create("ann", command="regiond password", entered="")
    assert (status, "Nothing was changed" in output) == (1, True), output
    async with database.connection() as db:
        rows = await db.fetch("select username, is_admin, password_hash like '$argon2id$%' from account order by id")
    assert [tuple(row) for row in rows] == [("admin", True, True), ("ann", True, True)]


@pytest.mark.slow
def test_a_wrong_use_of_the_command_is_a_usage_error(create: Create) -> None:
    status, output = create("extra")
    assert (status, "region admin create" in output) == (2, True), output

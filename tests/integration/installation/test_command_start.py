"""How much the command imports before it answers: its start is what scripts pay for every call.

Counted, not timed: a busy machine makes every time wrong.
"""

from __future__ import annotations

from pathlib import Path

from tests.deployment.deployment import Deployment
from tests.integration.images.test_image_upload_command import logged_in
from tests.unit.command.processes import in_shell

MOST_MODULES = 540
LOCALLY = 210
UNUSED = {
    "cattrs.strategies", "oauthlib", "pygments", "rich", "structlog", "treq", "websockets", "common.rpc", "regiond",
    "rackd", "libvirt", "innkeeper.completion.candidates",
}  # fmt: skip


async def imported(home: Path, words: str) -> list[str]:
    """Returns the names of the modules that the command imports, without those of Python's own start."""
    ran = await in_shell(home, f"PYTHONPROFILEIMPORTTIME=1 innkeeper {words}")
    assert ran.status == 0, ran.err
    return [line.rpartition("|")[2].strip() for line in ran.err.splitlines() if line.startswith("import time:")]


def among(names: list[str], unused: set[str]) -> set[str]:
    return {one for one in unused if any(name == one or name.startswith(f"{one}.") for name in names)}


async def test_a_request_imports_little_and_nothing_of_rpc(rackless: Deployment, tmp_path: Path) -> None:
    await logged_in(rackless, tmp_path)
    names = await imported(tmp_path, "admin zones read")
    assert among(names, UNUSED) == set()
    assert len(names) <= MOST_MODULES


async def test_the_version_and_help_need_no_reactor(tmp_path: Path) -> None:
    for words in ("--version", "--help"):
        names = await imported(tmp_path, words)
        assert among(names, {*UNUSED, "twisted", "asyncio", "cryptography"}) == set()
        assert len(names) <= LOCALLY

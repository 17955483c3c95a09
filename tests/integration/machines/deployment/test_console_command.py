"""`innkeeper PROFILE machine console NAME` on a terminal, against a region."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.images.test_image_upload_command import logged_in
from tests.integration.machines.deployment.test_console_connection import running
from tests.integration.machines.deployment.test_deployments import composed
from tests.unit.command.processes import in_shell, on_terminal

pytestmark = pytest.mark.database

LEAVE = "\x1d"
PROMPT = "vm$ "


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.mark.slow
async def test_keys_reach_the_machine_until_it_ends(innkeeper: Deployment, home: Path) -> None:
    await running(innkeeper)
    await logged_in(innkeeper, home)
    ran = await on_terminal(
        home, "admin", "machine", "console", "vm", given={PROMPT: "hello\r", "hello\r\nvm$ ": "exit\r"}
    )
    assert ran.status == 0
    assert "vm$ hello\nhello\nvm$ exit" in ran.out
    assert "The virtual machine has ended the console." in ran.out


@pytest.mark.slow
async def test_the_escape_key_leaves_the_console(innkeeper: Deployment, home: Path) -> None:
    await running(innkeeper)
    await logged_in(innkeeper, home)
    ran = await on_terminal(home, "admin", "machine", "console", "vm", given={PROMPT: f"x{LEAVE}"})
    assert (ran.status, "You closed the console." in ran.out) == (0, True)


@pytest.mark.slow
async def test_what_prevents_a_console_is_said(innkeeper: Deployment, home: Path) -> None:
    await composed(innkeeper)
    await logged_in(innkeeper, home)
    off = await on_terminal(home, "admin", "machine", "console", "vm")
    assert (off.status, "vm is off" in off.out) == (1, True), off
    piped = await in_shell(home, "innkeeper admin machine console vm")
    assert (piped.status, "needs a terminal" in piped.err) == (2, True), piped
    unknown = await on_terminal(home, "admin", "machine", "console", "nobody")
    assert unknown.status != 0
    screen = await in_shell(home, "innkeeper admin machine screen vm")
    (machine,) = await innkeeper.get("machines/")
    assert (screen.status, f"/MAAS/ui/vms/{machine['system_id']}/screen." in screen.err) == (2, True), screen
    log = await in_shell(home, "innkeeper admin machine console-log vm")
    assert (log.status, log.out) == (0, "")

"""Every command in every page runs as written, in order, on one fresh `./dev run`."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from tests.integration.installation.test_dev_run import DevRun, stop
from tests.lab.servers.lxd_server import lab_pair, why_no_lxd
from tests.lab.servers.needs import LAB_DIR, why_no_libvirt
from tests.lab.servers.own_sshd import OwnSshd, why_no_own_sshd
from tests.pages.blocks import CHECKOUT, PAGES, SKIPS, Block, blocks_of, missing_lines
from tests.support.waiting import settle

BLOCK_S = 180.0

pytestmark = [pytest.mark.lab, pytest.mark.skipif(why_no_libvirt() is not None, reason=why_no_libvirt() or "")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevRun]:
    dev_run = DevRun(state=tmp_path_factory.mktemp("pages") / "var")
    folder = dev_run.state.parent
    (folder / ".venv").symlink_to(CHECKOUT / ".venv")  # with `var`, this folder looks like the checkout of the pages
    (folder / "docs").symlink_to(CHECKOUT / "docs")
    run = settle(dev_run.start())
    try:
        yield dev_run
        dev_run.remove_guests()
    finally:
        settle(stop(run))


def with_ports(text: str, dev_run: DevRun) -> str:
    """Returns the text with this run's ports in place of the usual ones."""
    for usual, ours in zip(("127.0.0.1:5240", "127.0.0.1:5250"), dev_run.ports, strict=True):
        text = text.replace(usual, f"127.0.0.1:{ours}")
    return text


@pytest.fixture(scope="module")
def addresses(running: DevRun) -> Iterator[dict[str, tuple[str, str]]]:
    """What the LXD and SSH servers of the lab have in place of the addresses in the pages; those that can run here."""
    folder, sshd = running.state.parent, None
    found: dict[str, tuple[str, str]] = {}
    if why_no_lxd() is None:
        server = lab_pair()[0]
        found["lxd"] = ("127.0.0.1:8443", server.address)
        (folder / "bin").mkdir()
        lxc = folder / "bin/lxc"
        lxc.write_text(f'#!/bin/sh\nLXD_DIR={LAB_DIR}/lxd-{server.name} exec {shutil.which("lxc")} "$@"\n')
        lxc.chmod(0o755)
    if why_no_own_sshd() is None:
        sshd = OwnSshd(folder)
        sshd.start()
        found["ssh"] = ("127.0.0.1:22/", f"127.0.0.1:{sshd.port}/")
        (folder / ".ssh").mkdir()
        (folder / ".ssh/authorized_keys").symlink_to(sshd.authorized_keys)
    try:
        with server.restored("boxed") if "lxd" in found else nullcontext():
            yield found
    finally:
        if sshd is not None:
            sshd.stop()


def outcome(block: Block, text: str, dev_run: DevRun) -> str | None:
    """Runs the block as one script, with its output on a terminal, and returns None, or how it failed."""
    folder = dev_run.state.parent
    environment = {
        **dev_run.environment,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PATH": f"{folder}/bin:{CHECKOUT}/.venv/bin:{os.environ['PATH']}",
    }
    status, printed, errors = on_terminal(["bash", "-euo", "pipefail", "-c", text], folder, environment)
    if status is None:
        return f"{block.place}: no end within {BLOCK_S:.0f} s:\n{text}"
    if status != 0:
        return f"{block.place}: status {status}\n{text}{printed[-1600:]}{errors[-800:]}"
    missing = missing_lines(block.shown or "", printed)
    return f"{block.place}: the page shows {missing}, printed was\n{printed}" if missing else None


def on_terminal(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int | None, str, str]:
    """Returns the exit status (None: did not end in time), and what was printed to a terminal and as errors."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (50, 200))
    ends_at, printed = time.monotonic() + BLOCK_S, b""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=errors
        )
        os.close(theirs)
        with suppress(OSError):  # EIO: nothing has the other end open any more
            while select.select([ours], [], [], max(0.0, ends_at - time.monotonic()))[0]:
                printed += os.read(ours, 65536)
        os.close(ours)
        try:
            status: int | None = process.wait(max(0.1, ends_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = None
        errors.seek(0)
        return status, re.sub(r"\x1b\[\d*m", "", printed.decode()).replace("\r\n", "\n"), errors.read().decode()


WHY_NOT = {"lxd": why_no_lxd, "ssh": why_no_own_sshd}


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_page_run(page: str, running: DevRun, addresses: dict[str, tuple[str, str]]) -> None:
    folder = Path(running.state.parent)
    failed = []
    for block in blocks_of(page):
        needs = block.marked("needs")
        if (skip := block.marked("skip")) is not None:
            print(f"{block.place} is not run: it {SKIPS[skip]}.")  # noqa: T201  # shown with -rA
        elif needs is not None and needs not in addresses:
            print(f"{block.place} is not run: it {WHY_NOT[needs]()}.")  # noqa: T201  # shown with -rA
        elif block.runs_on_the_tests_machine:
            text = with_ports(block.text, running)
            if needs is not None:
                text = text.replace(*addresses[needs])
            failed.append(outcome(block, text, running))
        elif block.language == "python" and page == "docs/how-to/rpc-client.md":
            (folder / "robot.py").write_text(with_ports(block.text, running))
    assert not any(failed), "\n".join(one for one in failed if one)

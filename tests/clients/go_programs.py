"""Builds clients in Go with Debian's gomaasapi, and finds the key that clients sign with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clients.environment import CHECKOUT, run
from tests.deployment.deployment import Deployment
from tests.support.administrators import API_KEY_FILE

PROGRAMS = Path(__file__).parent / "programs"
GO_SOURCES = Path("/usr/share/gocode")
_CACHE = CHECKOUT / ".venv-clients/go-cache"  # the libraries take 10 s


def key_of(innkeeper: Deployment) -> str:
    """The administrator's API key."""
    return (innkeeper.in_process.settings.state / API_KEY_FILE).read_text().strip()


async def built(source: Path, executable: Path) -> str:
    """Builds a Go program. The test is skipped where Go or gomaasapi is missing."""
    go = shutil.which("go")
    if go is None or not (GO_SOURCES / "src/github.com/juju/gomaasapi").exists():
        pytest.skip("requires golang-go and golang-github-juju-gomaasapi-dev: ./dev test installs them")
    await run(
        go, "build", "-o", str(executable), str(source),
        HOME=str(executable.parent), GO111MODULE="off", GOPATH=str(GO_SOURCES), GOCACHE=str(_CACHE),
    )  # fmt: skip
    return str(executable)

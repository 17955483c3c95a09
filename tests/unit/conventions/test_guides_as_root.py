"""The guides write nothing as root in a folder of a daemon's user, where a link could lead elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages.blocks import blocks_of

CHECKOUT = Path(__file__).resolve().parents[3]
PAGES = sorted(str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob("docs/**/*.md"))
_FOLDERS = re.compile(r"/var/lib/innkeeper-(regiond|rackd)\b|/var/lib/postgresql\b|/etc/postgresql/")
_HERE_DOCUMENT = re.compile(r"<<-? ?'?END'?\n.*?^ *END$", re.MULTILINE | re.DOTALL)
# These become the daemon's user themselves, or only name the folder to a container.
_HARMLESS = re.compile(r"^\s*(innkeeper |regiond |rackd |ls )|\b(runuser -|podman )")


def as_root(text: str) -> list[str]:
    """Commands that name such a folder with the rights of root; each part of a pipe is one."""
    lines = _HERE_DOCUMENT.sub("", text).replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in re.split(r"\||&&", line)]
    return [part.strip() for part in parts if _FOLDERS.search(part) and not _HARMLESS.search(part)]


def test_a_command_of_root_in_such_a_folder_is_found() -> None:
    assert as_root("cd /var/lib/innkeeper-regiond\ninstall -o innkeeper-regiond /dev/null secrets.key") != []
    assert as_root("cat > /etc/postgresql/15/main/conf.d/x.conf << 'END'\na\nEND") != []
    assert as_root("runuser -u postgres -- tee /etc/postgresql/15/main/conf.d/x.conf << 'END'\na\nEND") == []


@pytest.mark.parametrize("page", PAGES)
def test_a_guide_acts_there_as_the_daemon_s_user(page: str) -> None:
    assert [one for block in blocks_of(page) if block.language == "sh" for one in as_root(block.text)] == []

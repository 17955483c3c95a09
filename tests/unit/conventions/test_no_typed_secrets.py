"""No page, help text or message shows a command with a secret as an argument."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHOWN = (
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(path for path in (ROOT / "docs/examples").rglob("*") if path.is_file()),
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *(path for folder in ("common", "innkeeper", "rackd", "regiond") for path in sorted((ROOT / folder).rglob("*.py"))),
    *sorted((ROOT / "regiond").rglob("*.html")),
)
SECRET_TYPED = re.compile(
    r"\brackd join (?:--name \S+ )?(?:\$?\{*\"?TOKEN|\$token|innkeeper-join-|\" ~)"
    r"|\binnkeeper login \S+ \S+ (?:KEY\b|\$|[A-Za-z0-9]+:[A-Za-z0-9]+:)"
    r"|\b(?:password|power_pass)=\"?\$|\bcurl .*-H \"\$"
    r"|\bBearer \$",
)
# In a file that others may read: a token that stays valid if the next command fails, and a key until its chmod.
LEFT_IN_A_FILE = re.compile(r"\btrust add\b.*\s>|> \S+\.key\n *chmod\b")


@pytest.mark.parametrize(
    "line",
    [
        "rackd join TOKEN",
        "rackd join $TOKEN",
        "innkeeper login PROFILE URL KEY",
        'vm-hosts create password="$token"',
        'curl -H "Authorization: Bearer $(cat key)"',
        '--header "Authorization: Bearer $INNKEEPER_KEY"',
    ],
)
def test_a_typed_secret_is_recognized(line: str) -> None:
    assert SECRET_TYPED.search(line)


def test_no_command_that_is_shown_has_a_secret_as_an_argument() -> None:
    found = [str(path.relative_to(ROOT)) for path in SHOWN if SECRET_TYPED.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_no_command_leaves_a_secret_in_a_file_for_others() -> None:
    found = [str(path.relative_to(ROOT)) for path in SHOWN if LEFT_IN_A_FILE.search(path.read_text(encoding="utf-8"))]
    assert found == []

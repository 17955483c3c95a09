"""The threat model names tests that exist, and says for each attacker what does not hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/explanation/security.md").read_text(encoding="utf-8")
ATTACKERS = ("stranger", "user", "rack", "hypervisor", "guest", "reader of the database", "proxy")
_TEST = re.compile(r"`(tests/[^`]+)`")
_LINK = re.compile(r"\]\(([^)#]+)")


def section_of(attacker: str) -> str:
    (found,) = [text for text in PAGE.split("\n## ")[1:] if re.match(rf"An? {attacker}\b", text)]
    return found


def test_every_named_test_exists() -> None:
    named = _TEST.findall(PAGE)
    assert len(named) > 50
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("attacker", ATTACKERS)
def test_each_attacker_has_what_holds_and_what_does_not(attacker: str) -> None:
    section = section_of(attacker)
    assert _TEST.search(section) is not None
    assert "**Does not hold.**" in section


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/explanation/security.md"])
def test_every_link_leads_to_a_file(page: str) -> None:
    links = _LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).is_file()] == []


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_readme_and_index_lead_to_both_pages(page: str) -> None:
    links = {
        (ROOT / page).parent.joinpath(link).resolve()
        for link in _LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    }
    assert {ROOT / "SECURITY.md", ROOT / "docs/explanation/security.md"} <= links

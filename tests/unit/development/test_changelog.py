"""The changelog of a release, made from fragments, and its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from development.releases.changelog import Refused, joined, next_version, prepare, set_next

BEFORE = "# Changelog\n\n## 1.0.0\n\nThe first.\n\n### Hosts\n\n- Old.\n\n### Users\n\n- Users.\n"
SOURCE = '"""Doc."""\n\nNEXT = "1.1.0"\n'


def test_a_new_section_is_the_first_one() -> None:
    text = joined(BEFORE, "1.1.0", ["### Hosts\n\n- New\n  line.\n", "- Other.\n", "### Hosts\n- Second.\n"])
    assert text == (
        "# Changelog\n\n## 1.1.0\n\n### Hosts\n\n- New\n  line.\n- Second.\n\n### Other changes\n\n- Other.\n\n"
        "## 1.0.0\n\nThe first.\n\n### Hosts\n\n- Old.\n\n### Users\n\n- Users.\n"
    )


def test_later_fragments_join_the_section_of_their_subject() -> None:
    assert joined(BEFORE, "1.0.0", ["### Hosts\n\n- New.\n"]) == BEFORE.replace("- Old.\n", "- Old.\n- New.\n")
    assert joined(BEFORE, "1.0.0", []) == BEFORE


def test_the_version_never_goes_back() -> None:
    assert next_version(SOURCE, "1.2.0") == SOURCE.replace("1.1.0", "1.2.0")
    assert next_version(SOURCE, "1.1.0") == SOURCE
    with pytest.raises(Refused, match=r"is lower than 1\.1\.0"):
        next_version(SOURCE, "1.0.9")
    for wrong in ("1.1", "v1.1.0", "01.1.0"):
        with pytest.raises(Refused, match="is not a version such as"):
            next_version(SOURCE, wrong)


def test_a_prepared_release_has_no_fragments_left(tmp_path: Path) -> None:
    for name in ("common", "changelog.d"):
        (tmp_path / name).mkdir()
    (tmp_path / "common/release.py").write_text(SOURCE)
    (tmp_path / "CHANGELOG.md").write_text(BEFORE)
    (tmp_path / "changelog.d/1.a.md").write_text("- A.\n")
    with pytest.raises(Refused):
        prepare(tmp_path, "1.0.0")
    assert (tmp_path / "CHANGELOG.md").read_text() == BEFORE
    assert prepare(tmp_path, "1.1.0") == 1
    assert "## 1.1.0\n\n### Other changes\n\n- A.\n\n## 1.0.0" in (tmp_path / "CHANGELOG.md").read_text()
    assert list((tmp_path / "changelog.d").iterdir()) == []
    set_next(tmp_path, "1.2.0")
    assert 'NEXT = "1.2.0"' in (tmp_path / "common/release.py").read_text()

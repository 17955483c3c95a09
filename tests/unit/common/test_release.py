"""Releases name the commit of a build: in a clone, a shallow clone, an archive and a wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.release import NEXT, of_source

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCE = (
    ".gitattributes",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "setup.cfg",
    "common/__init__.py",
    "common/release.py",
)
AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
RUNNING = "import sys; sys.path.insert(0, '.'); from common.release import running_release; print(running_release())"
BUILT = "from setuptools import build_meta; print(build_meta.prepare_metadata_for_build_wheel('.'))"


def git(folder: Path, *words: str) -> str:
    return subprocess.check_output(["git", *AUTHOR, *words], cwd=folder, text=True).strip()


def python(folder: Path, program: str, **environment: str) -> str:
    """Prints what the program prints in `folder`, without this checkout in its path."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with two commits of what a build of the package needs."""
    folder = tmp_path / "source"
    for name in SOURCE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "two")
    return folder


def test_a_commit_is_named_by_its_time_and_id(source: Path) -> None:
    commit, at = git(source, "log", "-1", "--format=%H %cd", "--date=format-local:%Y%m%d%H%M").split()
    assert re.fullmatch(rf"{re.escape(NEXT)}\.dev\d{{12}}\+g{commit[:8]}", of_source(source))
    assert at[:6] in of_source(source)


def test_two_commits_have_different_releases(source: Path) -> None:
    before = of_source(source)
    git(source, "commit", "--quiet", "--allow-empty", "-m", "three")
    assert of_source(source) != before


def test_changed_files_are_not_the_commit(source: Path) -> None:
    committed = of_source(source)
    (source / "notes").write_text("not part of the source")
    assert of_source(source) == committed
    (source / "README.md").write_text("changed")
    assert of_source(source) == f"{committed}.dirty"


def test_a_tagged_commit_is_the_release(source: Path) -> None:
    git(source, "tag", f"v{NEXT}")
    assert of_source(source) == NEXT
    git(source, "commit", "--quiet", "--allow-empty", "-m", "three")
    assert of_source(source).startswith(f"{NEXT}.dev")


def test_a_shallow_clone_has_the_release_of_a_full_one(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", source.as_uri(), "shallow")
    assert git(tmp_path / "shallow", "rev-list", "--count", "HEAD") == "1"
    assert of_source(tmp_path / "shallow") == of_source(source)


def test_an_archive_has_the_release_of_its_commit(source: Path, tmp_path: Path) -> None:
    git(source, "archive", f"--output={tmp_path / 'source.tar'}", "--prefix=archive/", "HEAD")
    shutil.unpack_archive(tmp_path / "source.tar", tmp_path)
    assert not (tmp_path / "archive/.git").exists()
    assert python(tmp_path / "archive", RUNNING) == of_source(source)


def test_a_checkout_without_git_claims_no_commit(source: Path) -> None:
    assert python(source, RUNNING, PATH="/nowhere") == f"{NEXT}.dev0"
    shutil.rmtree(source / ".git")
    assert of_source(source) == f"{NEXT}.dev0"


def test_a_wheel_is_named_after_the_commit(source: Path) -> None:
    assert python(source, BUILT, PATH="/usr/bin:/bin") == f"innkeeper-{of_source(source)}.dist-info"


def test_running_code_of_a_checkout_is_named_after_its_commit(source: Path) -> None:
    git(source, "commit", "--quiet", "--allow-empty", "-m", "after an editable installation")
    assert python(source, RUNNING, PATH="/usr/bin:/bin") == of_source(source)

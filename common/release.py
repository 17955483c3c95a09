"""The release of this code, which names the commit of a build between two releases."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

NEXT = "1.1.0"

_ARCHIVED = "$Format:%ct %H$"  # `git archive` writes the time and the id of the commit here (.gitattributes)
_GIT_DEADLINE_S = 10.0
_ANY_OWNER = "safe.directory=*"  # a daemon's user reads a checkout of another user, whose code it runs anyway


@cache  # a checkout can change under a running process
def running_release() -> str:
    """Returns the release of the running code, such as `1.0.0.dev202611242026+g334c1378`.

    It is read once. In a checkout it is that of the commit, not of the installation, which is older: an editable
    installation is not repeated for each commit.
    """
    folder = Path(__file__).resolve().parents[1]
    if (folder / "pyproject.toml").exists():
        return of_source(folder)
    from importlib.metadata import version  # noqa: PLC0415  # the command would start later for it

    return version("innkeeper")


def of_source(folder: Path | None = None) -> str:
    """Returns the release of the source in `folder`; setuptools calls it when it builds the package.

    A commit with the tag `v1.0.0` is that release. Other commits are named after their time (UTC) and id; `.dirty`
    means that files differ from the commit. A shallow clone and an archive of a commit give the same as a full clone.
    Without git and outside an archive it is `1.0.0.dev0`.
    """
    folder = folder or Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        committed_at, _, commit = _ARCHIVED.partition(" ")
        return f"{NEXT}.dev0" if "$" in commit else _of_commit(int(committed_at), commit)
    found = _git(folder, "log", "-1", "--format=%ct %H %D", "--decorate=short", f"--decorate-refs=refs/tags/v{NEXT}")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if not found or changed is None:
        return f"{NEXT}.dev0"
    committed_at, commit, decorations = found.split(" ", 2)  # a shallow clone decorates its commit with "grafted"
    if f"tag: v{NEXT}" in decorations.split(", ") and not changed:
        return NEXT
    return _of_commit(int(committed_at), commit) + (".dirty" if changed else "")


def _of_commit(committed_at_s: int, commit: str) -> str:
    # Not the number of commits, which a shallow clone does not know.
    return f"{NEXT}.dev{datetime.fromtimestamp(committed_at_s, UTC):%Y%m%d%H%M}+g{commit[:8]}"


def _git(folder: Path, *arguments: str) -> str | None:
    """Returns what git prints; None without git, and if it fails."""
    import subprocess  # noqa: PLC0415  # the command would start later for it

    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 - only constants
            ["git", "--no-optional-locks", "-c", _ANY_OWNER, *arguments],  # noqa: S607 - where the user has it
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_DEADLINE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip("\n")

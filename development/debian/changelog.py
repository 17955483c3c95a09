"""Prints debian/changelog of this checkout's release for a release of Debian.

python -m development.debian.changelog SUITE
"""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from common.release import of_source

CHECKOUT = Path(__file__).resolve().parents[2]
NUMBERS = {"bookworm": 12, "trixie": 13}


def debian_version(release: str, suite: str) -> str:
    """Returns the version of the packages: a build before a release is lower than it, a newer Debian's is higher."""
    return f"{release.replace('.dev', '~dev', 1)}+deb{NUMBERS[suite]}"


def changelog(release: str, suite: str, *, maintainer: str, built_at: datetime) -> str:
    return (
        f"innkeeper ({debian_version(release, suite)}) {suite}; urgency=medium\n\n"
        f"  * Innkeeper {release}. See CHANGELOG.md.\n\n"
        f" -- {maintainer}  {format_datetime(built_at)}\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in NUMBERS:
        raise SystemExit(__doc__)
    control = (CHECKOUT / "debian/control").read_text(encoding="utf-8")
    (maintainer,) = re.findall(r"^Maintainer: (.*)$", control, re.MULTILINE)
    seconds = subprocess.check_output(
        ["git", "-c", "safe.directory=*", "log", "-1", "--format=%ct"], cwd=CHECKOUT, text=True
    )
    at = datetime.fromtimestamp(int(seconds), UTC)
    print(changelog(of_source(), sys.argv[1], maintainer=maintainer, built_at=at), end="")

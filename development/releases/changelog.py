"""Joins the fragments of `changelog.d/` in the section of a release in CHANGELOG.md, and sets the version.

python -m development.releases.changelog VERSION   the version to release, such as 1.1.0
python -m development.releases.changelog --next VERSION   after a release: builds are named VERSION.dev… from now on
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]  # the system's Python runs this, without packages
OTHERS = "Other changes"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_NEXT = re.compile(r'^NEXT = "(.*)"$', re.MULTILINE)


class Refused(Exception):
    """The release cannot be prepared; nothing was changed."""


def joined(changelog: str, version: str, fragments: Iterable[str]) -> str:
    """Returns the text with the fragments under the headings that they begin with, `### Hosts`, of that version.

    A fragment without one goes under `Other changes`. The section is made, as the first one, if it does not exist;
    more fragments can be joined to it later.
    """
    before, section, after = _parts(changelog, version)
    for fragment in fragments:
        heading, text = _subject(fragment)
        section = _with(section, heading, text)
    return f"{before}{section.strip()}\n{after}"


def next_version(source: str, version: str) -> str:
    """Returns common/release.py with that version. Raises Refused for one that is lower than the present one."""
    found = _NEXT.search(source)
    if found is None:
        raise Refused("common/release.py has no line NEXT.")
    if _numbers(version) < _numbers(found[1]):
        raise Refused(f"{version} is lower than {found[1]}, the version of this checkout.")
    return _NEXT.sub(f'NEXT = "{version}"', source)


def _numbers(version: str) -> tuple[int, ...]:
    if _VERSION.fullmatch(version) is None:
        raise Refused(f"{version} is not a version such as 1.1.0.")
    return tuple(int(one) for one in version.split("."))


def _parts(changelog: str, version: str) -> tuple[str, str, str]:
    """Returns what is before the section of the version, the section and what is after it."""
    sections = [*re.finditer(r"^## .*$", changelog, re.MULTILINE)]
    for number, found in enumerate(sections):
        if found[0] == f"## {version}":
            end = sections[number + 1].start() if number + 1 < len(sections) else len(changelog)
            after = changelog[end:]
            return changelog[: found.start()], changelog[found.start() : end], f"\n{after}" if after else ""
    at = sections[0].start() if sections else len(changelog)
    return changelog[:at], f"## {version}\n", f"\n{changelog[at:]}" if changelog[at:] else ""


def _subject(fragment: str) -> tuple[str, str]:
    found = re.match(r"### (.+)\n+", fragment)
    return (OTHERS, fragment.strip()) if found is None else (found[1].strip(), fragment[found.end() :].strip())


def _with(section: str, heading: str, text: str) -> str:
    """Returns the section with the text at the end of what is under the heading."""
    marker = f"### {heading}\n"
    if f"\n{marker}" not in section:
        return f"{section.strip()}\n\n{marker}\n{text}\n"
    start = section.index(f"\n{marker}") + 1
    end = section.find("\n### ", start)
    end = len(section) if end < 0 else end
    return f"{section[:start]}{section[start:end].strip()}\n{text}\n{section[end:]}"


def prepare(checkout: Path, version: str) -> int:
    """Writes both files and deletes the fragments; returns how many there were. Raises Refused."""
    release = checkout / "common/release.py"
    source = next_version(release.read_text("utf-8"), version)
    paths = sorted((checkout / "changelog.d").glob("*.md"))
    changelog = checkout / "CHANGELOG.md"
    text = joined(changelog.read_text("utf-8"), version, [one.read_text("utf-8") for one in paths])
    changelog.write_text(text, "utf-8")
    release.write_text(source, "utf-8")
    for one in paths:
        one.unlink()
    return len(paths)


def set_next(checkout: Path, version: str) -> None:
    release = checkout / "common/release.py"
    release.write_text(next_version(release.read_text("utf-8"), version), "utf-8")


def main(arguments: list[str]) -> str:
    if len(arguments) == 2 and arguments[0] == "--next":
        set_next(CHECKOUT, arguments[1])
        return f"Builds of the next commits are named {arguments[1]}.dev…"
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise Refused(str(__doc__))
    count = prepare(CHECKOUT, arguments[0])
    return f"{count} fragments are in CHANGELOG.md. Read it, commit, and tag the commit: git tag -s v{arguments[0]}"


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))  # the command's answer
    except Refused as refused:
        raise SystemExit(str(refused)) from None

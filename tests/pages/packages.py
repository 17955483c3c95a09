"""Debian packages of this checkout, and an operator who types commands on a new machine that has them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from development.debian.changelog import NUMBERS
from tests.pages.fresh_machine import CHECKOUT, FreshMachine, in_outer_network

SUITES = ("bookworm", "trixie")
READY = "INNKEEPER_TEST_PACKAGES"  # a folder with packages of one or both releases, which are not built again
BUILD_S = 1800.0
INSTALL_S = 900.0
COMMAND_S = 150.0
LATER = "99.0"
# Makes the same packages with a higher version and one changed comment in the settings, as a later release would.
MAKE_LATER = f"""
mkdir later
for package in *.deb; do
  rm -rf tree
  dpkg-deb --raw-extract "$package" tree
  version=$(dpkg-deb --field "$package" Version)
  sed -i "s/$version/{LATER}/" tree/DEBIAN/control
  for settings in tree/etc/innkeeper/*.toml; do
    [ ! -e "$settings" ] || sed -i '1s/^/# Settings of a later release.\\n/' "$settings"
  done
  (cd tree && find . -path ./DEBIAN -prune -o -type f -printf '%P\\0' | xargs -0 md5sum >DEBIAN/md5sums)
  dpkg-deb --root-owner-group -Znone --build tree later >/dev/null
done
"""


def packages_of(suite: str, folder: Path) -> list[Path]:
    """Returns the packages of a release of Debian in `folder`: copies of those that are ready, else a new build."""
    ready, names = Path(os.environ.get(READY, os.devnull)), f"*+deb{NUMBERS[suite]}_*.deb"
    found = sorted(ready.glob(names)) or sorted((ready / suite).glob(names))
    if not found:
        return build(suite, folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(file, folder)) for file in found]


def build(suite: str, folder: Path, *, umask: int = 0o022, **environment: str) -> list[Path]:
    """Builds the packages of a release of Debian as `./dev build` does, with these variables beside our own."""
    done = subprocess.run(
        [*in_outer_network(), str(CHECKOUT / "development/debian/build"), suite, str(folder)],
        check=False, capture_output=True, text=True, timeout=BUILD_S, env={**os.environ, **environment}, umask=umask,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return sorted(folder.glob("*.deb"))


def differing(one: Path, other: Path) -> list[str]:
    """Returns the files in which two packages differ, by content, owner, mode or time, and the package itself."""
    parts = {}
    for package in (one, other):
        for part in ("--ctrl-tarfile", "--fsys-tarfile"):
            archive = subprocess.run(["dpkg-deb", part, package], check=True, capture_output=True).stdout
            parts[package, part] = _members(archive)
    changed = [
        f"{name}: {parts[one, part].get(name)} and {parts[other, part].get(name)}"
        for part in ("--ctrl-tarfile", "--fsys-tarfile")
        for name in sorted({*parts[one, part], *parts[other, part]})
        if parts[one, part].get(name) != parts[other, part].get(name)
    ]
    equal = one.read_bytes() == other.read_bytes()
    return changed if equal else [one.name, *changed]


def _members(archive: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = {}
        for member in opened:
            read = opened.extractfile(member) if member.isfile() else None
            content = hashlib.sha256(read.read()).hexdigest()[:12] if read else member.linkname
            found[member.name] = f"{content} {member.uname}:{member.gname} {member.mode:o} {member.mtime}"
        return found


class Operator:
    """Types commands as root on the machine."""

    def __init__(self, machine: FreshMachine) -> None:
        self.machine = machine

    def types(self, script: str, *, given: str = "", network: bool = False, deadline_s: float = COMMAND_S) -> str:
        """Returns what the script prints. `network`: it reaches the registries of packages, and gets more time."""
        deadline_s = INSTALL_S if network else deadline_s
        done = self.machine.run(script, given=given, network=network, deadline_s=deadline_s)
        outcome = "no end in time" if done.status is None else f"status {done.status}"
        assert done.status == 0, f"{outcome}\n{script}\n{done.printed[-1600:]}\n{done.errors[-2400:]}"
        return done.printed.strip()

    def asks(self, command: str) -> Any:
        return json.loads(self.types(f"innkeeper {command}"))

    def process_of(self, daemon: str) -> str:
        return self.types(f"systemctl status innkeeper-{daemon} | sed -n 's/.*Main PID: //p'")

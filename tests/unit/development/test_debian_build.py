"""What the build of the Debian packages writes: versions that dpkg orders, programs at their later path, licences."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from development.debian.changelog import changelog, debian_version
from development.debian.copyright import copyright_file
from development.debian.environment import prepare

BUILD = "0.1.0.dev202611251409+g1d15d2c3"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (debian_version(BUILD, "bookworm"), debian_version("0.1.0", "bookworm")),
        (debian_version(BUILD, "bookworm"), debian_version("0.1.0.dev202611251410+g0000000f", "bookworm")),
        (debian_version(BUILD, "bookworm"), debian_version(BUILD, "trixie")),
        (debian_version("0.1.0", "trixie"), debian_version("0.1.1", "bookworm")),
    ],
)
def test_dpkg_orders_the_versions_of_packages(older: str, newer: str) -> None:
    assert subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=False).returncode == 0


def test_dpkg_reads_the_generated_changelog(tmp_path: Path) -> None:
    at = datetime(2026, 11, 25, 14, 9, tzinfo=UTC)
    file = tmp_path / "changelog"
    file.write_text(changelog(BUILD, "bookworm", maintainer="Some One <one@example.com>", built_at=at))
    read = subprocess.run(
        ["dpkg-parsechangelog", "-l", str(file)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert f"Version: {debian_version(BUILD, 'bookworm')}" in read
    assert f"Timestamp: {int(at.timestamp())}" in read


def environment(folder: Path) -> Path:
    site = folder / "lib/python3.11/site-packages/some-1.0.dist-info"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python3.11").symlink_to("/usr/bin/python3.11")
    for name in ("regiond", "twistd", "activate"):
        (folder / "bin" / name).write_text(f"#!{folder}/bin/python3.11\nprint()\n")
    (folder / "pyvenv.cfg").write_text(f"home = /usr/bin\ncommand = python -m venv {folder}\n")
    (site / "RECORD").write_text(f"{folder}/bin/regiond,sha256=0,1\n")
    (site / "METADATA").write_text("Metadata-Version: 2.4\nName: some\nVersion: 1.0\nLicense-Expression: MIT\n")
    (site / "LICENSE").write_text("Do what you like.\n")
    return folder


def test_a_prepared_environment_does_not_name_its_build(tmp_path: Path) -> None:
    prepare(environment(tmp_path / "built"), "/opt/innkeeper")
    assert sorted(file.name for file in (tmp_path / "built/bin").iterdir()) == ["python3.11", "regiond"]
    assert (tmp_path / "built/bin/regiond").read_text() == "#!/opt/innkeeper/bin/python\nprint()\n"
    files = (file for file in (tmp_path / "built").rglob("*") if file.is_file() and not file.is_symlink())
    assert not [file for file in files if str(tmp_path) in file.read_text()]


def test_the_file_of_licences_has_each_package(tmp_path: Path) -> None:
    (site,) = environment(tmp_path).glob("lib/*/site-packages")
    found = copyright_file("Ours.\n", site)
    assert all(part in found for part in ("Ours.", "some 1.0", "Licence: MIT", "Do what you like."))


def test_a_package_without_a_licence_stops_the_build(tmp_path: Path) -> None:
    (site,) = environment(tmp_path).glob("lib/*/site-packages")
    (site / "some-1.0.dist-info/LICENSE").unlink()
    (site / "some-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.4\nName: some\nVersion: 1.0\n")
    with pytest.raises(SystemExit, match="some"):
        copyright_file("Ours.\n", site)

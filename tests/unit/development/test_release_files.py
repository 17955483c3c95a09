"""The signature of a release, with a key made here, and the documentation of several releases."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from development.releases.versioned_site import add

CHECKOUT = Path(__file__).resolve().parents[3]


def release(*words: object) -> tuple[int, str]:
    ran = subprocess.run(
        [CHECKOUT / "development/release", *map(str, words)], capture_output=True, text=True, check=False
    )
    return ran.returncode, ran.stdout + ran.stderr


def key(folder: Path, name: str) -> Path:
    """Returns the file with a new private key; the public one is beside it."""
    file = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file


def signers(file: Path) -> Path:
    written = file.with_suffix(".signers")
    written.write_text(f"release@innkeeper {file.with_suffix('.pub').read_text()}")
    return written


def test_a_release_is_verified_by_the_documented_command(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    (dist / "bookworm").mkdir(parents=True)
    (dist / "one.whl").write_bytes(b"wheel")
    (dist / "bookworm/one.deb").write_bytes(b"package")
    ours, other = key(tmp_path, "ours"), key(tmp_path, "other")
    assert release("sign", ours, dist) == (0, "SHA256SUMS\nSHA256SUMS.sig\n")
    assert [line.split()[1] for line in (dist / "SHA256SUMS").read_text().splitlines()] == [
        "bookworm/one.deb", "one.whl",
    ]  # fmt: skip
    assert release("verify", signers(ours), dist)[0] == 0
    (dist / "release-signers").write_text(signers(ours).read_text())
    page = (CHECKOUT / "docs/how-to/upgrade.md").read_text()
    (block,) = re.findall(r"^(ssh-keygen .*\nsha256sum .*)$", page, re.MULTILINE)
    subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=dist, check=True, capture_output=True)
    (dist / "release-signers").unlink()
    assert release("verify", signers(other), dist)[0] != 0
    (dist / "one.whl").write_bytes(b"another")
    assert release("verify", signers(ours), dist)[0] != 0
    assert release("sign", ours, dist)[0] == 0
    for name in ("more.whl", "SHA256SUMS.whl", "bookworm/SHA256SUMS"):
        (dist / name).write_bytes(b"not signed")
        assert release("verify", signers(ours), dist)[0] != 0, name
        (dist / name).unlink()
    (dist / "linked.whl").symlink_to("one.whl")
    assert release("verify", signers(ours), dist)[0] != 0


def test_an_empty_folder_is_not_signed(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    status, text = release("sign", key(tmp_path, "ours"), tmp_path / "dist")
    assert (status, "has no files" in text) == (1, True)


def test_the_documentation_of_each_release_stays(tmp_path: Path) -> None:
    built, site = tmp_path / "built", tmp_path / "site"
    built.mkdir()
    for version in ("1.0.0", "1.9.0", "1.10.0", "1.0.1"):
        (built / "index.html").write_text(version)
        versions = add(built, site, version)
    assert (
        versions
        == json.loads((site / "versions.json").read_text())
        == [
            {"version": "1.10", "title": "1.10.0", "aliases": ["latest"]},
            {"version": "1.9", "title": "1.9.0", "aliases": []},
            {"version": "1.0", "title": "1.0.1", "aliases": []},
        ]
    )
    assert [(site / name / "index.html").read_text() for name in ("1.0", "1.9")] == ["1.0.1", "1.9.0"]
    assert "url=1.10/index.html" in (site / "index.html").read_text()


def test_a_version_below_the_present_one_is_refused() -> None:
    status, text = release("prepare", "0.0.1")
    assert (status, "0.0.1 is lower than" in text) == (1, True), text

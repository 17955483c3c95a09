"""The manifest of a backup: names of files in it are checked before a restore writes any."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from regiond.backup.archive import ArchiveReader, ArchiveWriter
from regiond.backup.model import BackupFailed, Manifest, SavedImage

PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105
HASH = "0f" * 32


def written(sha256: str) -> io.BytesIO:
    """A backup as somebody could make it who knows the pass phrase."""
    image = SavedImage(name="custom/x", architecture="amd64", sha256=sha256, size_bytes=1, included=True)
    manifest = Manifest(
        release="1.0", created_at=datetime(2026, 11, 30, tzinfo=UTC), installation_id="i", authority_fingerprint=None,
        master_key_id="k", postgresql="15.8", migrations=(), images=(image,),
    )  # fmt: skip
    file = io.BytesIO()
    archive = ArchiveWriter(file, PASSPHRASE, work_factor=2)
    archive.begin(manifest, {})
    archive.end()
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/own", "/etc/cron.d/own", "..", "", HASH.upper(), f"{HASH}\n", f"{HASH}/x", HASH[:-1]]
)
def test_an_image_with_another_name_than_a_hash_is_refused(name: str) -> None:
    with pytest.raises(BackupFailed, match=r"whose hash .* is none: it was changed"):
        ArchiveReader.open(written(name), PASSPHRASE)


def test_an_image_with_a_hash_is_read() -> None:
    assert ArchiveReader.open(written(HASH), PASSPHRASE).manifest.images[0].sha256 == HASH

"""The contents of a backup, its pass phrase, and how far numbers move on after a restore. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from common.errors import BadSettings, InnkeeperError
from common.serialization import from_dict, to_dict
from common.words.phrases import number_of

FORMAT = 1
MIN_PASSPHRASE_CHARS = 12
_SHA256 = re.compile(r"[0-9a-f]{64}")

# One number of a table for each second since the backup is more than a region can give out: 126 composes per second is
# the most that was measured, and each adds about ten rows to the log of its operation and to the claims.
# 10^10 at most: the locks of events have 40 bits for a number, which allows a hundred of these steps.
WIDE_PER_S, WIDE_LEAST, WIDE_MOST = 1_000, 1_000_000, 10_000_000_000
# Four-byte numbers are scarce: NICs have to stay below 536,870,912, which allows a hundred of the largest steps.
NARROW_PER_S, NARROW_LEAST, NARROW_MOST = 10, 100_000, 5_000_000

# PostgreSQL takes a million numbers in half a second.
MOST_TAKEN_S, LEAST_TAKEN = 900.0, 10_000


class BackupFailed(InnkeeperError):
    """A backup cannot be written, read or restored."""

    code = "backup_failed"


@frozen(kw_only=True)
class AppliedMigration:
    """A migration that the database had when the backup was made."""

    number: int
    name: str
    digest: str
    release: str | None
    applied_at: datetime
    usable_from: int | None = None


@frozen(kw_only=True)
class SavedImage:
    """An image of the region's catalogue."""

    name: str
    architecture: str
    sha256: str
    size_bytes: int
    included: bool


@frozen(kw_only=True)
class Manifest:
    """The first entry of a backup. `counts` are numbers of rows by table, in the snapshot that the dump shows.

    `store_id`: the id of the region's folder of images.
    """

    format: int = FORMAT
    release: str
    created_at: datetime
    installation_id: str
    authority_fingerprint: str | None
    master_key_id: str
    postgresql: str
    migrations: tuple[AppliedMigration, ...]
    store_id: str | None = None
    counts: Mapping[str, int] = field(factory=dict)
    images: tuple[SavedImage, ...] = ()

    def as_plain(self) -> Any:
        return to_dict(self)

    @classmethod
    def of(cls, plain: Any) -> Manifest:
        """Returns the manifest of a backup. Raises BackupFailed for one of a newer format."""
        if isinstance(plain, dict) and isinstance(plain.get("format"), int) and plain["format"] > FORMAT:
            raise BackupFailed(
                f"The backup has format {plain['format']}, and this release reads formats up to {FORMAT}. It was made "
                f"by Innkeeper {plain.get('release', 'of a newer release')}: install that or a newer one."
            )
        manifest = from_dict(plain, cls)
        for image in manifest.images:
            if not _SHA256.fullmatch(image.sha256):  # the name of the file that a restore writes
                raise BackupFailed(f"The backup has an image whose hash {image.sha256[:80]!r} is none: it was changed.")
        return manifest


@frozen(kw_only=True)
class Contents:
    """The findings of a backup that was read to its end. `private`: the private files by name.

    `dump_head`: the beginning of the dump, with its table of contents.
    """

    manifest: Manifest
    dump_bytes: int
    private: Mapping[str, bytes] = field(repr=False)
    dump_head: bytes = field(default=b"", repr=False, eq=False)

    def text(self) -> str:
        """Returns such as `12 VMs on 3 VM hosts, 2 accounts; database 123,456 bytes, 1 of 2 images`."""
        counts = self.manifest.counts
        images = self.manifest.images
        included = sum(one.included for one in images)
        what = (
            number_of(counts.get("machine", 0), "VM"),
            number_of(counts.get("vm_host", 0), "VM host"),
            number_of(counts.get("account", 0), "account"),
        )
        content = f"{included} of {len(images)} images included" if images else "no images in the catalogue"
        return f"{', '.join(what)}; database dump of {self.dump_bytes:,} bytes; {content}"


def check_passphrase(text: str) -> str:
    """Returns the pass phrase for a new backup. Raises BackupFailed for a short one."""
    if len(text) < MIN_PASSPHRASE_CHARS:
        raise BackupFailed(
            f"The pass phrase has {len(text)} characters; use at least {MIN_PASSPHRASE_CHARS}. It protects the master "
            "key, and whoever has the file can try pass phrases without limit."
        )
    return text


def step(*, age_s: float, is_wide: bool) -> int:
    """Returns by how much the numbers of a sequence move on: more than were given out in `age_s` seconds.

    `is_wide`: numbers of eight bytes, otherwise of four.
    """
    age = max(0.0, age_s)
    if is_wide:
        return min(WIDE_MOST, max(WIDE_LEAST, int(age * WIDE_PER_S)))
    return min(NARROW_MOST, max(NARROW_LEAST, int(age * NARROW_PER_S)))


def short_step(*, age_s: float, is_wide: bool) -> int:
    """Returns by how much a role moves on that can only take one number after the other: enough for minutes.

    Raises BadSettings after more than `MOST_TAKEN_S` seconds.
    """
    if age_s > MOST_TAKEN_S:
        raise BadSettings(
            f"The database shows a state of {age_s / 3600:.1f} hours ago, such as after a recovery, and the region's "
            "role may not move its numbers on so far. Stop every region and run this as root on this computer: "
            "innkeeper region recovered",
            setting="database",
        )
    return max(LEAST_TAKEN, int(max(0.0, age_s) * (WIDE_PER_S if is_wide else NARROW_PER_S)))

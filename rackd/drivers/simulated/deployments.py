"""SQL for what is on the root disks of simulated guests, and for their boots.

The caller owns the transaction. An image on a host is a volume without an owner, as it is for the other drivers.
"""

from __future__ import annotations

import email
import email.policy
import sqlite3
import time
from collections.abc import Iterator
from email.message import EmailMessage

from common.addresses.report_url import ReportAddress, find_report
from common.guests.deployment_spec import CloudInitSeed, ImageRef
from common.hosts.discovery import ImageCopy

IMAGE_PREFIX = "innkeeper-image-"
_COPY = (
    "insert or ignore into written select ?, ? from written where pool = ? and volume = ?",
    "insert or ignore into content select ?, ?, at, data from content where pool = ? and volume = ?",
)


def image_volume(sha256: str) -> str:
    return f"{IMAGE_PREFIX}{sha256}"


def has_image(db: sqlite3.Connection, pool: str, image: ImageRef) -> bool:
    query = "select 1 from volume where pool = ? and name = ?"
    return db.execute(query, (pool, image_volume(image.sha256))).fetchone() is not None


def image_copies(db: sqlite3.Connection) -> tuple[ImageCopy, ...]:
    """Returns the copies of images in all storage pools."""
    query = "select pool, name, size_bytes from volume where name glob ? order by pool, name"
    return tuple(
        ImageCopy(sha256=row["name"].removeprefix(IMAGE_PREFIX), pool_id=row["pool"], size_bytes=row["size_bytes"])
        for row in db.execute(query, (f"{IMAGE_PREFIX}{64 * '[0-9a-f]'}",))
    )


def remove_image(db: sqlite3.Connection, pool: str, sha256: str) -> None:
    """Idempotent."""
    db.execute("delete from volume where pool = ? and name = ?", (pool, image_volume(sha256)))


def add_image(db: sqlite3.Connection, pool: str, image: ImageRef) -> None:
    """Does nothing if the pool has it."""
    db.execute(
        "insert into volume (pool, name, size_bytes) values (?, ?, ?) on conflict do nothing",
        (pool, image_volume(image.sha256), image.size_bytes),
    )


def write(db: sqlite3.Connection, guest_id: str, image: ImageRef, seed: CloudInitSeed, *, user_data: bytes) -> None:
    """Replaces what was on the root disk. `user_data` are those that the host stores."""
    row = (guest_id, image.sha256, seed.meta_data, user_data, seed.network_config)
    db.execute("insert or replace into deployment values (?, ?, ?, ?, ?)", row)


def copy_image(db: sqlite3.Connection, source_id: str, guest_id: str, seed: CloudInitSeed | None) -> None:
    """The guest has the image of another one on its root disk, if that has one, with its own seed."""
    if seed is not None:
        row = (guest_id, seed.meta_data, seed.user_data, seed.network_config, source_id)
        db.execute(
            "insert or replace into deployment select ?, sha256, ?, ?, ? from deployment where guest_id = ?", row
        )  # fmt: skip


def copy_written(db: sqlite3.Connection, source: tuple[str, str], copy: tuple[str, str]) -> None:
    """Both are volumes, as storage pool and name."""
    for statement in _COPY:
        db.execute(statement, (*copy, *source))


def erase(db: sqlite3.Connection, guest_id: str) -> None:
    db.execute("delete from deployment where guest_id = ?", (guest_id,))
    end_boot(db, guest_id)


def fill(db: sqlite3.Connection, guest_id: str) -> None:
    """Something is written to each disk of the guest, as an operating system does."""
    db.execute("insert or ignore into written select pool, volume from disk where guest_id = ?", (guest_id,))


def empty(db: sqlite3.Connection, pool: str, volume: str) -> None:
    db.execute("delete from written where pool = ? and volume = ?", (pool, volume))


def written_disks(db: sqlite3.Connection, guest_id: str) -> tuple[bool, ...]:
    """Returns of each disk of the guest whether something was written to it."""
    query = """
        select exists (select 1 from written where written.pool = disk.pool and written.volume = disk.volume) as written
          from disk where guest_id = ? order by position
    """
    return tuple(bool(row["written"]) for row in db.execute(query, (guest_id,)))


def image_on(db: sqlite3.Connection, guest_id: str) -> str | None:
    """Returns the SHA-256 of the image on the guest's root disk; None if the disk is empty."""
    row = db.execute("select sha256 from deployment where guest_id = ?", (guest_id,)).fetchone()
    return None if row is None else str(row["sha256"])


def begin_boot(db: sqlite3.Connection, guest_id: str, *, after_s: float) -> bool:
    """Returns whether the guest has an operating system, which will have booted after that time."""
    if image_on(db, guest_id) is None:
        return False
    db.execute("insert or replace into boot values (?, ?)", (guest_id, time.time() + after_s))
    fill(db, guest_id)
    return True


def end_boot(db: sqlite3.Connection, guest_id: str) -> None:
    """The guest has reported, or was powered off."""
    db.execute("delete from boot where guest_id = ?", (guest_id,))


def boots(db: sqlite3.Connection) -> list[tuple[str, float]]:
    """Returns the guests that boot, with the seconds left."""
    return [(row["guest_id"], max(0.0, row["due_at"] - time.time())) for row in db.execute("select * from boot")]


def report_of(db: sqlite3.Connection, guest_id: str) -> ReportAddress | None:
    """Returns the address at which the guest reports, from its user data; None if it does not boot.

    It is that of the user data if the guest has to fetch these first.
    """
    query = "select user_data from deployment join boot using (guest_id) where guest_id = ?"
    row = db.execute(query, (guest_id,)).fetchone()
    if row is None:
        return None
    return next((found for text in _texts(row["user_data"]) if (found := find_report(text)) is not None), None)


def set_fetched(db: sqlite3.Connection, guest_id: str, content: bytes) -> None:
    db.execute("insert or replace into fetched values (?, ?)", (guest_id, content))


def _texts(user_data: bytes) -> Iterator[str]:
    message = email.message_from_bytes(user_data, policy=email.policy.default)
    for part in message.walk():
        if isinstance(part, EmailMessage) and not part.is_multipart():
            content = part.get_content()
            yield content if isinstance(content, str) else bytes(content).decode("utf-8", "replace")

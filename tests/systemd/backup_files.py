"""The files that outlive a machine: its backup and the pass phrase, carried from one guest to another."""

from __future__ import annotations

import base64
import re
from typing import Self

from attrs import frozen

from tests.pages.blocks import CHECKOUT
from tests.systemd.guest import DebianGuest

PAGE = "docs/how-to/backup.md"


@frozen(kw_only=True)
class BackupFiles:
    archive: bytes  # of tar, with the paths of the page

    @classmethod
    def of(cls, guest: DebianGuest) -> Self:
        """Takes the two files that the page names."""
        named = re.search(r"verify-backup --passphrase-file (\S+) (\S+)", (CHECKOUT / PAGE).read_text())
        assert named is not None
        done = guest.run(f"tar -C / -cf - {named[1]} {named[2]} 2>/dev/null | base64")
        assert done.status == 0, done.errors
        return cls(archive=base64.b64decode(done.printed))

    def copy_to(self, guest: DebianGuest) -> None:
        done = guest.run("base64 -d | tar -C / -xpf -", given=base64.b64encode(self.archive).decode())
        assert done.status == 0, done.errors

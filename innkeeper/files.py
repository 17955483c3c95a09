"""Files with secrets: their names, and how they are written."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

CERTIFICATE, KEY, AUTHORITY = "certificate.pem", "key.pem", "authority.pem"  # in an RPC client's folder


def write_private(path: Path, data: bytes) -> None:
    """Replace the file at once by one of mode 0600 with `data`; readers see the old one or the new one. OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)

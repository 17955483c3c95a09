"""Where the master key lives: a file of the region's own, or a credential that systemd hands over."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import structlog

from common.errors import BadSettings
from common.private_files import make_private_folder
from regiond.credentials.seal import KEY_BYTES, MasterKey

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FILE = "secrets.key"
CREDENTIAL = "innkeeper-secrets-key"


def open_master_key(folder: Path, environment: Mapping[str, str]) -> MasterKey:
    """The systemd credential `innkeeper-secrets-key` if there is one, else `secrets.key` in `folder`, made at first.

    Either holds 32 bytes as base64 text. All regions of an installation need the same one. Several processes may do
    this at once and get the same key. Raises BadSettings when it is damaged or others may read the file.
    """
    handed = environment.get("CREDENTIALS_DIRECTORY")
    if handed and (Path(handed) / CREDENTIAL).exists():
        return _decode(Path(handed) / CREDENTIAL)
    path = folder / FILE
    if not path.exists():
        make_private_folder(folder)
        _make(path)
    if path.stat().st_mode & 0o077:
        raise BadSettings(f"{path} holds a secret key and others may read it: chmod 600 {path}", path=str(path))
    return _decode(path)


def _make(path: Path) -> None:
    """Whole or not at all, and never over another process's: a key lost is every secret lost."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    key = MasterKey.random()
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(key.material) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(temporary)
        log.info("master_key_made", key_id=key.id.hex(), path=str(path))
    except FileExistsError:
        return  # another process was faster: its key is the one
    finally:
        temporary.unlink()
        _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _decode(path: Path) -> MasterKey:
    try:
        material = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}.", path=str(path)) from error
    except binascii.Error:
        material = b""
    if len(material) != KEY_BYTES:
        raise BadSettings(f"{path} does not hold a key of {KEY_BYTES} bytes as base64; bring it back from a backup.")
    return MasterKey(material)

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
    if is_handed_over(environment):
        return _decode(Path(environment["CREDENTIALS_DIRECTORY"]) / CREDENTIAL)
    return open_key_file(folder / FILE)


def is_handed_over(environment: Mapping[str, str]) -> bool:
    """Whether the master key is a credential of systemd, which no command of ours can replace."""
    handed = environment.get("CREDENTIALS_DIRECTORY")
    return bool(handed) and (Path(handed or "") / CREDENTIAL).exists()


def install_key(folder: Path, new: MasterKey) -> Path:
    """`secrets.key` in `folder` is `new` from now on, in one move; where the key before it is kept, for old backups."""
    path = folder / FILE
    old = open_key_file(path)
    kept = folder / f"{FILE}.{old.id.hex()}"
    if old.id == new.id:
        return kept
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write(temporary, new)
    try:
        if not kept.exists():
            kept.hardlink_to(path)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        _sync(folder)
    log.info("master_key_replaced", key_id=new.id.hex(), before=old.id.hex(), path=str(path))
    return kept


def open_key_file(path: Path) -> MasterKey:
    """The key in the file, made when there is none. Raises BadSettings as above."""
    if not path.exists():
        make_private_folder(path.parent)
        _make(path)
    if path.stat().st_mode & 0o077:
        raise BadSettings(f"{path} holds a secret key and others may read it: chmod 600 {path}", path=str(path))
    return _decode(path)


def _make(path: Path) -> None:
    """Whole or not at all, and never over another process's: a key lost is every secret lost."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    key = MasterKey.random()
    _write(temporary, key)
    try:
        path.hardlink_to(temporary)
        log.info("master_key_made", key_id=key.id.hex(), path=str(path))
    except FileExistsError:
        return  # another process was faster: its key is the one
    finally:
        temporary.unlink()
        _sync(path.parent)


def _write(path: Path, key: MasterKey) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(key.material) + b"\n")
        file.flush()
        os.fsync(file.fileno())


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

"""Reads, creates and replaces the master key: a private file, or a systemd credential."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import structlog

from common.errors import BadSettings
from common.process.private_files import make_private_folder
from regiond.credentials.seal import KEY_BYTES, MasterKey

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FILE = "secrets.key"
CREDENTIAL = "innkeeper-secrets-key"


def open_master_key(folder: Path, environment: Mapping[str, str], *, create: bool) -> MasterKey:
    """Returns the key from the systemd credential `innkeeper-secrets-key`, otherwise from `secrets.key` in `folder`.

    `create`, for a new installation: creates the file if it does not exist; concurrent processes get the same key.
    Either contains 32 bytes as base64. All regions of an installation need the same key. Raises BadSettings if it is
    missing or damaged, or if other users can read the file.
    """
    if is_systemd_credential(environment):
        return _decode(Path(environment["CREDENTIALS_DIRECTORY"]) / CREDENTIAL)
    path = folder / FILE
    if not create and not path.exists():
        raise BadSettings(
            f"{path} does not exist, but the database belongs to an installation, and only the installation's master "
            "key opens its secrets. No other key was created. Check the setting `state`. If it is right, copy "
            f"{FILE} from another region, or restore it from a backup. If the key is sealed as the systemd credential "
            f"{CREDENTIAL}, write it back, or make the backup with the service innkeeper-backup.",
            path=str(path),
        )
    return open_key_file(path)


def is_systemd_credential(environment: Mapping[str, str]) -> bool:
    """Returns whether the master key is a systemd credential, which Innkeeper cannot replace."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and (Path(folder or "") / CREDENTIAL).exists()


def install_key(folder: Path, new: MasterKey) -> Path:
    """Replaces `secrets.key` in `folder` atomically. Returns the path of the old key, needed for old backups."""
    path = folder / FILE
    old = open_key_file(path)
    backup = folder / f"{FILE}.{old.id.hex()}"
    if old.id == new.id:
        return backup
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write(temporary, new)
    try:
        if not backup.exists():
            backup.hardlink_to(path)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        _sync(folder)
    log.info("master_key_replaced", key_id=new.id.hex(), before=old.id.hex(), path=str(path))
    return backup


def open_key_file(path: Path) -> MasterKey:
    """Returns the key in the file, created if it does not exist. Raises BadSettings as `open_master_key`."""
    if not path.exists():
        make_private_folder(path.parent)
        _make(path)
    if path.stat().st_mode & 0o077:
        raise BadSettings(f"Other users can read the secret key {path}. Run: chmod 600 {path}", path=str(path))
    return _decode(path)


def _make(path: Path) -> None:
    """Creates the file atomically and never overwrites one: losing the key loses every secret."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    key = MasterKey.random()
    _write(temporary, key)
    try:
        path.hardlink_to(temporary)
        log.info("master_key_created", key_id=key.id.hex(), path=str(path))
    except FileExistsError:
        return  # another process was faster; its key is used
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
        raise BadSettings(f"{path} does not contain a key of {KEY_BYTES} bytes as base64. Restore it from a backup.")
    return MasterKey(material)

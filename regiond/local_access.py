"""Writes `local.json`, the credential of commands on the region's machine, into the state folder.

It has the region's address and a key of the account `admin`, mode 0600: whoever can read it could also read the
database's address and the first API key beside it.
"""

from __future__ import annotations

import json
from pathlib import Path

import structlog

from common.errors import InnkeeperError, NotAuthenticated
from common.private_files import write_private
from regiond.accounts.model import ApiKey
from regiond.accounts.service import ADMIN, Accounts

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LOCAL_FILE = "local.json"
KEY_NAME = "local commands on the region's machine"


async def write_local_access(accounts: Accounts, state: Path, api_url: str, *, fingerprint: str | None = None) -> None:
    """Keeps the stored key while it is valid; otherwise creates one. A failure is logged: the region serves without.

    `fingerprint` is that of the certificate for HTTPS, by which commands recognise it.
    """
    path = state / LOCAL_FILE
    try:
        key = await _valid_key(accounts, path) or await accounts.create_key(await accounts.user(ADMIN), KEY_NAME)
        write_private(path, json.dumps({"url": api_url, "key": key, "fingerprint": fingerprint or ""}) + "\n")
    except (InnkeeperError, OSError) as error:
        log.warning("local_access_not_written", path=str(path), reason=str(error))


async def _valid_key(accounts: Accounts, path: Path) -> str | None:
    """Raises NotAllowed if the key's account is not active."""
    key = _stored_key(path)
    if key is None:
        return None
    try:
        await accounts.authenticate(key.consumer_key, key.token_key, key.token_secret)
    except NotAuthenticated:
        return None
    return str(key)


def _stored_key(path: Path) -> ApiKey | None:
    try:
        return ApiKey.parse(json.loads(path.read_bytes())["key"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InnkeeperError):
        return None

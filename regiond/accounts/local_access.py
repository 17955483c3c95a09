"""Writes `local.json`, the credential of commands on the region's machine, into the state folder.

The file has the region's address and an API key of the first active administrator, mode 0600: whoever can read it can
also read the database's address and the keys in the same folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import structlog

from common.errors import InnkeeperError, NotAllowed, NotAuthenticated
from common.process.periodic import PeriodicTask
from common.process.private_files import write_private
from regiond.accounts.model import ApiKey
from regiond.accounts.service import Accounts

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LOCAL_FILE = "local.json"
REWRITE_EVERY_S = 3600.0
KEY_NAME = "local commands on the region's machine"


class LocalAccess:
    """Writes the credential at the start, after `wake`, and each hour, because its administrator may be deleted.

    `fingerprint` returns the fingerprint of the HTTPS certificate, by which commands recognise it; "" without one.
    """

    def __init__(self, accounts: Accounts, state: Path, fingerprint: Callable[[], str] = str) -> None:
        self._accounts = accounts
        self._state = state
        self._fingerprint = fingerprint
        self._api_url = ""
        self._task = PeriodicTask("local_access", self.write, every_s=REWRITE_EVERY_S, first_after_s=REWRITE_EVERY_S)

    async def start(self, api_url: str) -> None:
        self._api_url = api_url
        await self.write()
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    def wake(self) -> None:
        """Writes the credential now. Called when an administrator was created."""
        self._task.wake()

    async def write(self) -> None:
        await write_local_access(self._accounts, self._state, self._api_url, fingerprint=self._fingerprint())


async def write_local_access(accounts: Accounts, state: Path, api_url: str, *, fingerprint: str = "") -> None:
    """Keeps the stored key while it is valid; otherwise creates a key, if there is an administrator.

    A failure is logged; the region then serves without the file.
    """
    path = state / LOCAL_FILE
    try:
        key = await _valid_key(accounts, path) or await _new_key(accounts)
        if key is None:
            log.warning("no_administrator", remedy="Create one on this computer: innkeeper region admin create")
            return
        write_private(path, json.dumps({"url": api_url, "key": key, "fingerprint": fingerprint}) + "\n")
    except (InnkeeperError, OSError) as error:
        log.warning("local_access_not_written", path=str(path), reason=str(error))


async def _new_key(accounts: Accounts) -> str | None:
    administrator = await accounts.first_administrator()
    return None if administrator is None else await accounts.create_key(administrator, KEY_NAME)


async def _valid_key(accounts: Accounts, path: Path) -> str | None:
    """Returns the stored key; None if it no longer belongs to an active administrator."""
    key = _stored_key(path)
    if key is None:
        return None
    try:
        caller = await accounts.authenticate(key.consumer_key, key.token_key, key.token_secret)
    except (NotAuthenticated, NotAllowed):
        return None
    return str(key) if caller.is_admin else None


def _stored_key(path: Path) -> ApiKey | None:
    try:
        return ApiKey.parse(json.loads(path.read_bytes())["key"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InnkeeperError):
        return None

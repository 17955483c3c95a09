"""`rack token` and `client issue`: credentials for a new rack or RPC client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.errors import InnkeeperError, InvalidRequest
from common.process.private_files import make_private_folder, write_private
from innkeeper.arguments import Given, Options, Usage, check_known
from innkeeper.commands.api_commands import value_of
from innkeeper.commands.changes import Changes
from innkeeper.http import Api
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profiles
from innkeeper.request_body import Body
from innkeeper.rpc_calls.client_credentials import AUTHORITY, CERTIFICATE, KEY, is_expired

TOKEN_USAGE = "usage: innkeeper [--profile PROFILE] rack token [zones=ZONE,…] [lifetime_s=SECONDS]"  # noqa: S105  # help, no token
ISSUE_USAGE = "usage: innkeeper [--profile PROFILE] client issue NAME [--to FOLDER]"
TOKEN_FIELDS = ("lifetime_s", "zones")


async def rack(
    words: Sequence[str], fields: Sequence[Given], options: Options, profiles: Profiles, terminal: Terminal
) -> None:
    """Prints a one-time token for `rackd join` on a line of its own."""
    if list(words) != ["token"]:
        raise Usage(TOKEN_USAGE)
    check_known(fields, TOKEN_FIELDS, of="rack token", usage=TOKEN_USAGE)
    profile = profiles.chosen(options.profile)
    changes = Changes.of(Api.of(profile), options, terminal)
    answer = await changes.send("POST", "racks/", query=[("op", "token")], body=_body(fields))
    issued = answer.json()
    terminal.say(_text_of(issued, "token"))
    expires_at = datetime.fromisoformat(_text_of(issued, "expires_at")).astimezone(UTC)
    terminal.note(f"Run 'sudo rackd join -' on the rack and paste the token. Valid once, until {expires_at:%H:%M} UTC.")


async def client(
    words: Sequence[str], fields: Sequence[Given], options: Options, profiles: Profiles, terminal: Terminal
) -> None:
    """Writes certificate, key and authority of a new RPC client to a folder, mode 0600.

    Overwrites only those of a certificate that has expired.
    """
    if len(words) != 2 or words[0] != "issue":
        raise Usage(ISSUE_USAGE)
    check_known(fields, (), of="client issue", usage=ISSUE_USAGE)
    name = words[1]
    folder = Path(options.to or name)
    _check_free(folder)
    profile = profiles.chosen(options.profile)
    body = Body(fields=[("name", name)])
    plain = (await Changes.of(Api.of(profile), options, terminal).send("POST", "rpc-clients/", body=body)).json()
    write_identity(folder, plain)
    address = plain.get("address") or "the region's RPC port"
    terminal.note(f"RPC client '{name}': certificate, key and the region's authority are in {folder}/.")
    terminal.note(f"Connect to {address} with: innkeeper.rpc.connect(…, folder={str(folder)!r})")


def write_identity(folder: Path, plain: Any) -> None:
    """Writes the fields `certificate`, `key` and `authority` to files. Raises InnkeeperError."""
    files = {CERTIFICATE: "certificate", KEY: "key", AUTHORITY: "authority"}
    texts = {file: _text_of(plain, key) for file, key in files.items()}
    try:
        make_private_folder(folder)
        for file, text in texts.items():
            write_private(folder / file, text)
    except OSError as error:
        raise InnkeeperError(f"Cannot write to {folder}: {error.strerror}.") from error


def _check_free(folder: Path) -> None:
    if is_expired(folder):
        return
    existing = [file for file in (CERTIFICATE, KEY, AUTHORITY) if (folder / file).exists()]
    if existing:
        raise InvalidRequest(f"{folder / existing[0]} already exists. Choose another folder with --to.")


def _body(fields: Sequence[Given]) -> Body:
    return Body(fields=[(given.name, value_of(given)) for given in fields])


def _text_of(plain: Any, key: str) -> str:
    found = plain.get(key) if isinstance(plain, Mapping) else None
    if not isinstance(found, str) or not found:
        raise InnkeeperError(f"The region's response has no {key}. Is the region older than this command?")
    return found

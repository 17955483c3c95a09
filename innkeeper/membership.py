"""`rack token` and `client issue`: what lets a rack join, or a program call the region's RPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import InnkeeperError, InvalidRequest
from common.private_files import make_private_folder, write_private
from innkeeper.arguments import Given, Options, Usage
from innkeeper.calls import value_of
from innkeeper.http import Api, Body
from innkeeper.identity import AUTHORITY, CERTIFICATE, KEY
from innkeeper.profiles import Profiles
from innkeeper.terminal import Terminal

TOKEN_USAGE = "usage: innkeeper [--profile PROFILE] rack token [key=value …]"  # noqa: S105  # help, no token
ISSUE_USAGE = "usage: innkeeper [--profile PROFILE] client issue NAME [--to FOLDER] [key=value …]"


async def rack(
    words: Sequence[str], fields: Sequence[Given], options: Options, profiles: Profiles, terminal: Terminal
) -> None:
    """Print a one-time join token on a line of its own, ready for `rackd join`."""
    if list(words) != ["token"]:
        raise Usage(TOKEN_USAGE)
    profile = profiles.chosen(options.profile)
    answer = await Api(profile.url, profile.key).send("POST", "racks/", query=[("op", "token")], body=_body(fields))
    terminal.say(_text_of(answer.json(), "token"))
    terminal.note("On the rack's machine: rackd join TOKEN. It works once, and not for long.")


async def client(
    words: Sequence[str], fields: Sequence[Given], options: Options, profiles: Profiles, terminal: Terminal
) -> None:
    """Write the certificate, key and authority of a new RPC client into a folder, mode 0600; never over older ones."""
    if len(words) != 2 or words[0] != "issue":
        raise Usage(ISSUE_USAGE)
    name = words[1]
    folder = Path(options.to or name)
    _check_free(folder)
    profile = profiles.chosen(options.profile)
    body = _body([Given(name="name", value=name), *fields])
    plain = (await Api(profile.url, profile.key).send("POST", "rpc-clients/", body=body)).json()
    write_identity(folder, plain)
    address = plain.get("address") or "the region's RPC port"
    terminal.note(f"RPC client '{name}': {folder}/ holds its certificate, its key and the region's authority.")
    terminal.note(f"Connect to {address} with: innkeeper.rpc.connect(…, folder={str(folder)!r})")


def write_identity(folder: Path, plain: Any) -> None:
    """The three files from the fields `certificate`, `key` and `authority`. Raises InnkeeperError."""
    files = {CERTIFICATE: "certificate", KEY: "key", AUTHORITY: "authority"}
    texts = {file: _text_of(plain, key) for file, key in files.items()}
    try:
        make_private_folder(folder)
        for file, text in texts.items():
            write_private(folder / file, text)
    except OSError as error:
        raise InnkeeperError(f"{folder} cannot be written: {error.strerror}.") from error


def _check_free(folder: Path) -> None:
    there = [file for file in (CERTIFICATE, KEY, AUTHORITY) if (folder / file).exists()]
    if there:
        raise InvalidRequest(f"{folder / there[0]} is there already: choose another folder with --to.")


def _body(fields: Sequence[Given]) -> Body:
    return Body(fields=[(given.name, value_of(given)) for given in fields])


def _text_of(plain: Any, key: str) -> str:
    found = plain.get(key) if isinstance(plain, Mapping) else None
    if not isinstance(found, str) or not found:
        raise InnkeeperError(f"The region's answer has no {key}: is it older than this command?")
    return found

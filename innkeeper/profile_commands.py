"""`login`, `logout`, `profiles` and `refresh`: manage the stored profiles."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path

from common.errors import InvalidRequest, NotAuthenticated
from innkeeper.api_commands import fetched
from innkeeper.api_description import read_description
from innkeeper.arguments import Usage
from innkeeper.http import Api, api_url
from innkeeper.profiles import Profile, Profiles, check_name
from innkeeper.terminal import Terminal

LOGIN_USAGE = "usage: innkeeper login PROFILE URL KEY    (KEY is the key, @FILE, or - to read it from standard input)"


def wanted_profile(words: Sequence[str], terminal: Terminal) -> Profile:
    """Returns the profile to log in with, checked without the region.

    May prompt for the key, so it runs before the event loop starts: there, Ctrl-C would not end the prompt.
    """
    if len(words) not in (2, 3):
        raise Usage(LOGIN_USAGE)
    name, url = words[0], api_url(words[1])
    check_name(name)
    return Profile(name=name, url=url, key=key_from(words[2] if len(words) == 3 else "-", terminal))


async def login(wanted: Profile, profiles: Profiles, terminal: Terminal) -> None:
    """Stores the profile after the region has accepted its key. Replaces a profile of the same name."""
    name, url = wanted.name, wanted.url
    api = Api(url, wanted.key)
    try:
        who = (await api.get("users/", op="whoami", deadline_s=30.0)).json()
    except NotAuthenticated as error:
        raise NotAuthenticated(f"{url} rejected this API key: {error.message}") from error
    profiles.put(await fetched(api, wanted))
    username = who.get("username") if isinstance(who, dict) else None
    terminal.note(f"Logged in to {url} as {username or 'an unnamed user'}, profile '{name}'.")
    terminal.note(f"Try: innkeeper {name} vm-hosts read    All commands: innkeeper {name} --help")


async def logout(words: Sequence[str], profiles: Profiles, terminal: Terminal) -> None:
    """Deletes the stored profile; its API key stays valid."""
    profiles.remove(_one(words, "usage: innkeeper logout PROFILE"))
    terminal.note(f"Profile '{words[0]}' deleted. Its API key stays valid until it is deleted in the region.")


async def list_profiles(words: Sequence[str], profiles: Profiles, terminal: Terminal) -> None:
    if words:
        raise Usage("usage: innkeeper profiles")
    terminal.show([{"name": each.name, "url": each.url} for each in profiles.all().values()], "profiles")


async def refresh(words: Sequence[str], profiles: Profiles, terminal: Terminal) -> None:
    """Fetches the description of one profile, or of all, again."""
    if len(words) > 1:
        raise Usage("usage: innkeeper refresh [PROFILE]")
    known = profiles.all()
    wanted = [profiles.get(words[0])] if words else list(known.values())
    for profile in wanted:
        fresh = await fetched(Api(profile.url, profile.key), profile)
        profiles.put(fresh)
        number = len(read_description(fresh.description).resources)
        terminal.note(f"{profile.name}: {number} resources.")


def key_from(word: str, terminal: Terminal) -> str:
    """The API key as typed, or read from `@FILE` or from standard input without echo."""
    if word.startswith("@"):
        try:
            key = Path(word[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"Cannot read the API key from {word[1:]}: {error}.") from error
    elif word == "-":
        key = _prompt() if terminal.stdin.isatty() else terminal.stdin.readline().strip()
    else:
        key = word.strip()
    if not key:
        raise InvalidRequest(f"The API key is empty.\n{LOGIN_USAGE}")
    return key


def _prompt() -> str:
    try:
        return getpass.getpass("API key: ").strip()
    except EOFError:  # Ctrl-D
        return ""


def _one(words: Sequence[str], usage: str) -> str:
    if len(words) != 1:
        raise Usage(usage)
    return words[0]

"""`logout`, `profiles` and `refresh`: manage the stored profiles."""

from __future__ import annotations

from collections.abc import Sequence

from innkeeper.api_description import read_description
from innkeeper.arguments import Usage
from innkeeper.commands.api_commands import fetched
from innkeeper.http import Api
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profiles


async def logout(words: Sequence[str], profiles: Profiles, terminal: Terminal) -> None:
    """Deletes the stored profile; its API key stays valid."""
    profiles.remove(_one(words, "usage: innkeeper logout PROFILE"))
    terminal.note(f"Profile '{words[0]}' deleted. Its API key stays valid until it is deleted in the region.")


async def list_profiles(words: Sequence[str], profiles: Profiles, terminal: Terminal) -> None:
    """Lists the profiles, or chooses the default one."""
    if words[:1] == ["default"] and len(words) == 2:
        profiles.set_default(words[1])
        terminal.note(f"Commands without a profile use '{words[1]}'.")
        return
    if words:
        raise Usage("usage: innkeeper profiles [default PROFILE]")
    default = profiles.default()
    shown = [{"name": each.name, "url": each.url, "default": each.name == default} for each in profiles.all().values()]
    terminal.show(shown, "profiles")


async def refresh(words: Sequence[str], profiles: Profiles, terminal: Terminal) -> None:
    """Fetches the description of one profile, or of all, again."""
    if len(words) > 1:
        raise Usage("usage: innkeeper refresh [PROFILE]")
    known = profiles.all()
    wanted = [profiles.get(words[0])] if words else list(known.values())
    for profile in wanted:
        fresh = await fetched(Api.of(profile), profile)
        profiles.update(fresh)
        number = len(read_description(fresh.description).offered)
        terminal.note(f"{profile.name}: {number} resources.")


def _one(words: Sequence[str], usage: str) -> str:
    if len(words) != 1:
        raise Usage(usage)
    return words[0]

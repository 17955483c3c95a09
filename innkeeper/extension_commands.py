"""Commands of extensions, by entry points of installed distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profiles

GROUP = "innkeeper.commands"
_FIRST_WORDS = ("import",)  # for other words no installed distribution is read: commands of the API start at once


class ExtensionCommand(Protocol):
    """A command of two words, such as `import maas`, whose entry point is `import-maas`."""

    def __call__(self, words: Sequence[str], profiles: Profiles, terminal: Terminal) -> int:
        """Runs the command with the words after its own, and returns its exit status. Raises Usage."""


def extension_command(argv: Sequence[str]) -> ExtensionCommand | None:
    """Returns the command that the first words name; None if no extension has it."""
    if len(argv) < 2 or argv[0] not in _FIRST_WORDS:
        return None
    from importlib.metadata import entry_points  # noqa: PLC0415  # other commands would start later for it

    for one in entry_points(group=GROUP, name="-".join(argv[:2])):
        return cast(ExtensionCommand, one.load())
    return None

"""Reads passwords from the terminal or standard input: arguments are visible to every user of the machine."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from itertools import pairwise

from common.errors import InvalidRequest
from innkeeper.output.terminal import Terminal

_SUFFIX = "password=-"
# What a terminal is asked for if it is not on the command line.
_ASKED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("users", "create"): ("password",),
    ("account", "change-password"): ("current_password", "password"),
}
_REPEATED = {"users", "user", "account"}  # new passwords, of which a typing error would lock the user out


def with_passwords(words: Sequence[str], terminal: Terminal) -> list[str]:
    """Returns the words with what was entered in place of each `password=-`.

    May prompt, so it runs before the event loop starts: there, Ctrl-C would not end the prompt. Raises InvalidRequest.
    """
    words = [*words, *(f"{name}=-" for name in _missing(words, terminal))]
    is_new = not _REPEATED.isdisjoint(words[:2])
    return [_entered(word, terminal, is_new=is_new) if word.endswith(_SUFFIX) else word for word in words]


def _missing(words: Sequence[str], terminal: Terminal) -> tuple[str, ...]:
    if not terminal.stdin.isatty():
        return ()
    actions = [one.replace("_", "-") for one in words[:3]]
    asked = next((_ASKED[pair] for pair in pairwise(actions) if pair in _ASKED), ())
    return tuple(name for name in asked if not any(word.startswith((f"{name}=", f"{name}@=")) for word in words))


def _entered(word: str, terminal: Terminal, *, is_new: bool) -> str:
    name = word.partition("=")[0]
    if not terminal.stdin.isatty():
        line = terminal.stdin.readline().rstrip("\r\n")
        if not line:
            raise InvalidRequest(f"{name}: standard input has no line for it.")
        return f"{name}={line}"
    password = getpass.getpass(f"{name.replace('_', ' ').capitalize()}: ")
    if is_new and name == "password" and getpass.getpass("Repeat it: ") != password:
        raise InvalidRequest("The two passwords differ. Nothing was changed.")
    if not password:
        raise InvalidRequest(f"{name}: the input is empty. Nothing was changed.")
    return f"{name}={password}"

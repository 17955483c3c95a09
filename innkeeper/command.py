"""The `innkeeper` command: which part of it is meant, and its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from common.errors import InnkeeperError
from innkeeper.arguments import Options, Usage, split_fields, split_options
from innkeeper.describe import read_description
from innkeeper.guidance import OVERVIEW, help_for
from innkeeper.profiles import Profiles, default_path
from innkeeper.terminal import Terminal

DONE, REFUSED, NOT_UNDERSTOOD, INTERRUPTED, READER_GONE = 0, 1, 2, 130, 141
_COMMANDS = ("login", "logout", "profiles", "refresh", "rack", "client")


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do what was typed; the exit status. Everything that is to be read has been written."""
    terminal = Terminal(out=sys.stdout, err=sys.stderr, stdin=sys.stdin)
    try:
        status = _run(argv, environment, terminal)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has had enough, as `head` does; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _run(argv: Sequence[str], environment: Mapping[str, str], terminal: Terminal) -> int:
    try:
        words, options = split_options(argv)
        terminal = Terminal(out=terminal.out, err=terminal.err, stdin=terminal.stdin, table=options.table)
        profiles = Profiles(default_path(environment))
        if not _answered_at_once(words, options, profiles, terminal):
            _work(words, options, profiles, terminal)
    except Usage as error:
        terminal.note(str(error))
        return NOT_UNDERSTOOD
    except InnkeeperError as error:
        terminal.complain(error)
        return REFUSED
    return DONE


def _answered_at_once(words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> bool:
    if options.version:
        terminal.say(f"innkeeper {version('innkeeper')}")
    elif words[:1] == ["help"] or (options.help and not words):
        terminal.say(OVERVIEW)
    elif not words:
        raise Usage(OVERVIEW)
    elif options.help and words[0] in _COMMANDS:
        terminal.say(OVERVIEW)
    elif options.help:
        description = read_description(profiles.get(words[0]).description)
        terminal.say(help_for(words[0], description, words[1:]))
    else:
        return False
    return True


def _work(words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> None:
    from innkeeper import sessions  # noqa: PLC0415 - help should not wait for Twisted to load
    from innkeeper.running import run  # noqa: PLC0415

    if words[0] == "login":
        wanted = sessions.wanted_profile(words[1:], terminal)
        run(lambda: sessions.login(wanted, profiles, terminal))
    else:
        run(lambda: _dispatch(words, options, profiles, terminal))


async def _dispatch(words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> None:
    from innkeeper import calls, membership, sessions  # noqa: PLC0415 - they load Twisted's HTTP client

    match words[0]:
        case "logout":
            await sessions.logout(words[1:], profiles, terminal)
        case "profiles":
            await sessions.list_profiles(words[1:], profiles, terminal)
        case "refresh":
            await sessions.refresh(words[1:], profiles, terminal)
        case "rack" | "client":
            plain, fields = split_fields(words[1:])
            part = membership.rack if words[0] == "rack" else membership.client
            await part(plain, fields, options, profiles, terminal)
        case name:
            await calls.call(profiles.get(name), words[1:], options, profiles, terminal)

"""The `innkeeper` command: which part of it is meant, and its exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TextIO

from common.errors import InnkeeperError
from innkeeper.arguments import Options, Usage, split_fields, split_options
from innkeeper.describe import read_description
from innkeeper.guidance import OVERVIEW, help_for
from innkeeper.profiles import Profiles, default_path
from innkeeper.terminal import Terminal

DONE, REFUSED, NOT_UNDERSTOOD, INTERRUPTED, READER_GONE = 0, 1, 2, 130, 141
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_COMMANDS = ("login", "logout", "profiles", "refresh", "rack", "client", "region")


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do what was typed; the exit status. Everything that is to be read has been written."""
    terminal = Terminal(out=sys.stdout or _nowhere(), err=sys.stderr or _nowhere(), stdin=sys.stdin or _nowhere())
    try:
        status = _run(argv, environment, terminal)
        terminal.out.flush()
    except BrokenPipeError:
        # Whoever read our output has had enough, as `head` does; there is nobody left to tell.
        _give_up_output(terminal)
        return READER_GONE
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _give_up_output(terminal)
        terminal.note(f"The output cannot be written: {error.strerror}.")
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _nowhere() -> TextIO:
    """In place of a stream that whoever started us has closed."""
    return open(os.devnull, "r+", encoding="utf-8")  # for as long as the process lasts


def _give_up_output(terminal: Terminal) -> None:
    """Python would try once more at the end, and say so."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), terminal.out.fileno())


def _run(argv: Sequence[str], environment: Mapping[str, str], terminal: Terminal) -> int:
    try:
        words, options = split_options(argv)
        terminal = Terminal(out=terminal.out, err=terminal.err, stdin=terminal.stdin, table=options.table)
        profiles = Profiles(default_path(environment))
        if not _answered_at_once(words, options, profiles, terminal):
            return _work(words, options, profiles, terminal)
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


def _work(words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> int:
    from innkeeper import sessions  # noqa: PLC0415 - help should not wait for Twisted to load
    from innkeeper.running import run  # noqa: PLC0415

    if words[0] == "login":
        wanted = sessions.wanted_profile(words[1:], terminal)
        run(lambda: sessions.login(wanted, profiles, terminal))
        return DONE
    return run(lambda: _dispatch(words, options, profiles, terminal))


async def _dispatch(words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> int:
    """The exit status of what was done; what was refused is raised."""
    from innkeeper import calls, checking, membership, sessions  # noqa: PLC0415 - they load Twisted's HTTP client

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
        case "region":
            plain, fields = split_fields(words[1:])
            return await checking.region(plain, fields, options, profiles, terminal)
        case name:
            await calls.call(profiles.get(name), words[1:], options, profiles, terminal)
    return DONE

"""The `innkeeper` command: selects the subcommand and returns the exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from common.errors import InnkeeperError
from common.release import running_release
from innkeeper.api_description import read_description
from innkeeper.arguments import Options, Usage, split_fields, split_options
from innkeeper.commands.password_prompt import with_passwords
from innkeeper.daemon_programs import daemon_of, run_daemon
from innkeeper.exit_status import ExitStatus, exit_status
from innkeeper.extension_commands import extension_command
from innkeeper.help import OVERVIEW, help_for
from innkeeper.local_region import local_profile
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profile, Profiles, default_path

_COMPLETE = "__complete"  # what the scripts of the completion run
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_ADMIN_CREATE = ["region", "admin", "create"]
_COMMANDS = ("login", "logout", "list", "profiles", "refresh", "completion")

# Commands of `maas` on the region's computer, and those here.
_OF_MAAS = {
    "apikey": "sudo regiond apikey --username NAME",
    "changepassword": "sudo regiond password NAME",
    "createadmin": "innkeeper region admin create --username NAME",
}

_WITHOUT_KEY = ("login", "logout", "list", "profiles", "refresh", "completion")


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Executes the command line and returns the exit status, with all output flushed."""
    terminal = Terminal(
        out=sys.stdout or _null_stream(), err=sys.stderr or _null_stream(), stdin=sys.stdin or _null_stream()
    )
    try:
        if argv[:1] == [_COMPLETE]:
            from innkeeper.completion import command as completion_command  # noqa: PLC0415

            profiles = Profiles(default_path(environment))
            completion_command.print_candidates(argv[1:], profiles, environment, terminal.out)
            return ExitStatus.DONE
        status = _run(argv, environment, terminal)
        terminal.out.flush()
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does.
        _discard_output(terminal)
        return ExitStatus.BROKEN_PIPE
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        _discard_output(terminal)
        terminal.note(f"Cannot write the output: {error.strerror}.")
        return ExitStatus.FAILED
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    return status


def _null_stream() -> TextIO:
    """Replaces a standard stream that the parent process has closed."""
    return open(os.devnull, "r+", encoding="utf-8")  # open until the process ends


def _discard_output(terminal: Terminal) -> None:
    """Prevents Python from flushing the output again at exit, which would print an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), terminal.out.fileno())


def _run(argv: Sequence[str], environment: Mapping[str, str], terminal: Terminal) -> int:
    try:
        profiles = Profiles(default_path(environment), local=lambda: local_profile(environment))
        _check_no_command_of_maas(argv, profiles)
        if (other := _other_program(argv, environment, profiles, terminal)) is not None:
            return other
        words, options = split_options(argv)
        terminal = Terminal(
            out=terminal.out,
            err=terminal.err,
            stdin=terminal.stdin,
            table=options.table,
            yaml=options.yaml,
            view=options.view,
        )
        _check_options(words, options, profiles)
        if not _answered_locally(words, options, profiles, terminal):
            if list(words) == _ADMIN_CREATE:
                return _create_administrator(options, environment, terminal)
            return _run_online(words, options, profiles, terminal)
    except Usage as error:
        terminal.note(str(error))
        return ExitStatus.USAGE
    except InnkeeperError as error:
        terminal.show_error(error)
        return exit_status(error)
    return ExitStatus.DONE


def _check_no_command_of_maas(argv: Sequence[str], profiles: Profiles) -> None:
    """Raises Usage, before options that such a command has are unknown ones. A profile of that name comes first."""
    instead = _OF_MAAS.get(argv[0]) if argv else None
    if instead is not None and argv[0] not in profiles.all():
        raise Usage(f"'maas {argv[0]}' is '{instead}' here, on the region's computer.")


def _is_own(words: Sequence[str], profiles: Profiles) -> bool:
    """Whether this is a command of its own, not an action of the API such as `rack delete`."""
    match words:
        case ["rack", action, *_]:
            return action == "token"
        case ["rack" | "client" | "region", *_]:
            return not profiles.has_action(words)
    return words[:1] != [] and words[0] in _COMMANDS


def _check_options(words: Sequence[str], options: Options, profiles: Profiles) -> None:
    """Raises Usage for an option that the command would ignore, such as a dry run: it would be carried out."""
    own = _is_own(words, profiles)
    if options.dry_run and own and not options.help:
        raise Usage(f"{' '.join(words[:2])} has no dry run.")
    if options.username is not None and words[:1] != ["login"] and list(words) != _ADMIN_CREATE and not options.help:
        raise Usage("--username is an option of login and region admin create only.")
    for name in ("ca_file", "fingerprint"):
        if getattr(options, name) is not None and words[:1] != ["login"] and not options.help:
            raise Usage(f"--{name.replace('_', '-')} is an option of login only.")
    if options.filters and own and not options.help:
        raise Usage(f"--filter does not apply to {words[0]}.")
    if options.idempotency_key is not None and words and words[0] in _WITHOUT_KEY and not options.help:
        raise Usage(f"--idempotency-key does not apply to {words[0]}.")
    if options.idempotency_key is not None and list(words) == _ADMIN_CREATE and not options.help:
        raise Usage("--idempotency-key does not apply to region admin create.")


def _answered_locally(words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> bool:
    if options.version:
        terminal.say(f"innkeeper {running_release()}")
    elif words[:1] == ["completion"] and not options.help:
        from innkeeper.completion import command as completion_command  # noqa: PLC0415

        terminal.say(completion_command.script(words[1:]).removesuffix("\n"))
    elif words[:1] == ["help"] or (options.help and not words):
        terminal.say(OVERVIEW)
    elif not words:
        raise Usage(OVERVIEW)
    elif options.help and _is_own(words, profiles):
        terminal.say(OVERVIEW)
    elif options.help:
        profile, rest = profiles.of_command(words, options.profile)
        if not profile.description:
            return False  # this machine's region, which has to be asked
        terminal.say(_help(profile, words, rest))
    else:
        return False
    return True


def _help(profile: Profile, words: Sequence[str], rest: Sequence[str]) -> str:
    named = profile.name if len(rest) < len(words) else ""
    return help_for(named, read_description(profile.description), rest)


def _create_administrator(options: Options, environment: Mapping[str, str], terminal: Terminal) -> int:
    """`region admin create`: the first administrator. Returns the exit status, as `run_daemon`."""
    named = [] if options.username is None else [f"--username={options.username}"]
    return run_daemon("regiond", ["admin", "create", *named], environment, terminal)


def _other_program(
    argv: Sequence[str], environment: Mapping[str, str], profiles: Profiles, terminal: Terminal
) -> int | None:
    """Runs a command that reads its options itself, and returns its exit status; None if it is none of them."""
    if (command := extension_command(argv)) is not None:
        return command(argv[2:], profiles, terminal)
    daemon = daemon_of(argv)
    return None if daemon is None else run_daemon(daemon, argv[1:], environment, terminal)


def _run_online(words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> int:
    from innkeeper.reactor import run  # noqa: PLC0415

    if words[0] == "login":
        from innkeeper.commands import login  # noqa: PLC0415

        wanted = login.read_request(words[1:], options, terminal)
        run(lambda: login.log_in(wanted, profiles, terminal))
        return ExitStatus.DONE
    words = with_passwords(words, terminal)
    return run(lambda: _dispatch(words, options, profiles, terminal))


async def _dispatch(words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> int:
    """Returns the exit status. Raises the error of a rejected request."""
    if not _is_own(words, profiles):
        from innkeeper.commands import api_commands  # noqa: PLC0415
        from innkeeper.http import Api  # noqa: PLC0415

        profile, rest = profiles.of_command(words, options.profile)
        if options.help:
            terminal.say(_help(await api_commands.fetched(Api.of(profile), profile), words, rest))
            return ExitStatus.DONE
        return await api_commands.call(profile, rest, options, profiles, terminal)
    return await _own(words, options, profiles, terminal)


async def _own(words: Sequence[str], options: Options, profiles: Profiles, terminal: Terminal) -> int:
    """Runs a command that is none of the API. Each imports what it needs: RPC and certificates take long."""
    if words[0] in {"rack", "client"}:
        from innkeeper.commands import enrolment  # noqa: PLC0415

        plain, fields = split_fields(words[1:])
        part = enrolment.rack if words[0] == "rack" else enrolment.client
        await part(plain, fields, options, profiles, terminal)
        return ExitStatus.DONE
    if words[0] == "region":
        from innkeeper.commands import region_commands  # noqa: PLC0415

        plain, fields = split_fields(words[1:])
        return await region_commands.region(plain, fields, options, profiles, terminal)
    from innkeeper.commands import profile_commands  # noqa: PLC0415

    match words[0]:
        case "logout":
            await profile_commands.logout(words[1:], profiles, terminal)
        case "profiles" | "list":  # the latter is the name in MAAS
            await profile_commands.list_profiles(words[1:], profiles, terminal)
        case "refresh":
            await profile_commands.refresh(words[1:], profiles, terminal)
    return ExitStatus.DONE

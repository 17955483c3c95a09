"""The rackd command: `rackd join -` once, then `rackd run`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from common.errors import BadSettings
from common.process import daemon
from common.process.logging import configure_logging
from common.process.settings import config_file, load
from common.process.systemd_notify import ServiceManager
from rackd.command_line import parser
from rackd.settings import CONFIG_FILE, LOGGED_AS, RackSettings

OPEN_FILES = 65536  # a simulated host uses up to nine: three connections to a file, its log and its index


def main() -> NoReturn:
    """Exits with 0, with 1 after a failure, or with 2 for a wrong command line or wrong settings."""
    daemon.hard_exit(_status(sys.argv[1:]))


def _status(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    daemon.forbid_core_dumps()  # before any secret is read
    try:
        daemon.check_installation()
        settings = _read_settings(options)
    except BadSettings as error:
        print(error, file=sys.stderr)  # noqa: T201  # for the person who starts it
        return daemon.MISCONFIGURED
    try:
        # Before the privileges of root are given up: the file may be root's alone.
        token = _token_from(options.token) if options.command == "join" else ""
    except BadSettings as error:
        print(error, file=sys.stderr)  # noqa: T201  # for the person who joins
        return daemon.FAILED
    daemon.become_owner(settings.state)
    configure_logging(level=settings.log_level, process=LOGGED_AS)
    daemon.allow_open_files(OPEN_FILES)
    daemon.install_reactor()
    if options.command == "join":
        return daemon.run(_join(settings, token, options.name), when_interrupted=daemon.FAILED)
    return daemon.run(_run(settings, options))


def _read_settings(options: argparse.Namespace) -> RackSettings:
    """Raises BadSettings."""
    file = config_file(options.config, os.environ, CONFIG_FILE)
    settings = load(RackSettings, file=file, environment=os.environ)
    settings.check()
    return settings


def _token_from(word: str) -> str:
    """The token as typed, or read from standard input (`-`) or from `@FILE`. Raises BadSettings."""
    if word == "-":
        if sys.stdin.isatty():
            print("Token: ", end="", file=sys.stderr, flush=True)  # noqa: T201  # a prompt
        return sys.stdin.readline().strip()
    if not word.startswith("@"):
        return word
    try:
        return Path(word[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"Cannot read the token from {word[1:]}: {error}.") from error


async def _join(settings: RackSettings, token: str, name: str) -> None:
    from rackd.enrolment import join  # noqa: PLC0415  # after the reactor

    identity = await join(token, settings.identity_folder, name)
    joined = f"Joined as rack {identity.name} ({identity.rack_id})."
    print(f"{joined} Start it: systemctl enable --now innkeeper-rackd")  # noqa: T201  # the command's output


async def _run(settings: RackSettings, options: argparse.Namespace) -> None:
    from rackd.identity import load as load_identity  # noqa: PLC0415  # after the reactor
    from rackd.service import RackService  # noqa: PLC0415  # after the reactor

    identity = load_identity(settings.identity_folder)
    configure_logging(level=settings.log_level, process={**LOGGED_AS, "rack": identity.name})
    await RackService(settings, identity, ServiceManager(), read=partial(_read_settings, options)).serve()


if __name__ == "__main__":
    main()

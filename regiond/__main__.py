"""The regiond command: runs the region, and the administrative commands on its computer."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from common.errors import BadSettings, InnkeeperError
from common.process import daemon
from common.process.logging import configure_logging
from common.process.settings import config_file, load
from common.process.systemd_notify import ServiceManager
from common.release import running_release
from regiond.commands import backup_command_line, setup_command_line
from regiond.commands.upgrades import command_line as upgrade_check
from regiond.process.settings import CONFIG_FILE, LOGGED_AS, RegionSettings

OPEN_FILES = 65536  # a connection each for API clients, racks and PostgreSQL


def main() -> NoReturn:
    """Exits with status 0, 1 after a failure, 2 for an invalid command line or settings."""
    daemon.hard_exit(_status(sys.argv[1:]))


def _status(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    daemon.forbid_core_dumps()  # before any secret is read
    if options.command == upgrade_check.COMMAND:
        return upgrade_check.run(options, os.environ)
    try:
        daemon.check_installation()
        settings = _read_settings(options)
    except BadSettings as error:
        print(error, file=sys.stderr)  # noqa: T201  # for the person who starts it
        return daemon.MISCONFIGURED
    if options.command in backup_command_line.COMMANDS:
        return backup_command_line.run(settings, options, config_file(options.config, os.environ, CONFIG_FILE))
    if options.command in setup_command_line.COMMANDS:
        file = config_file(options.config, os.environ, CONFIG_FILE)
        return setup_command_line.run(settings, options, file, _read_password)
    daemon.become_owner(settings.state)
    configure_logging(level=settings.log_level, process=LOGGED_AS)
    if options.command in ("password", "admin"):
        return _with_password(settings, options)
    daemon.allow_open_files(OPEN_FILES)
    daemon.install_reactor()
    return _run_command(options, settings)


def _read_settings(options: argparse.Namespace) -> RegionSettings:
    """Raises BadSettings."""
    return load(RegionSettings, file=config_file(options.config, os.environ, CONFIG_FILE), environment=os.environ)


def _run_command(options: argparse.Namespace, settings: RegionSettings) -> int:
    if options.command == "apikey":
        return daemon.run(_create_key(settings, account_of_key(options)), when_interrupted=daemon.FAILED)
    if options.command == "replace-authority":
        return daemon.run(_replace_authority(settings), when_interrupted=daemon.FAILED)
    if options.command == "check":
        return daemon.run(_check(settings), when_interrupted=daemon.FAILED)
    if options.command == "rewrap":
        return daemon.run(_rewrap(settings, options.new_key), when_interrupted=daemon.FAILED)
    return daemon.run(_run(settings, options))


async def _run(settings: RegionSettings, options: argparse.Namespace) -> None:
    from regiond.service import RegionService  # noqa: PLC0415  # after the reactor

    def read() -> RegionSettings:
        again = _read_settings(options)
        again.check()
        return again

    await RegionService(settings, ServiceManager(), read=read).serve()


async def _create_key(settings: RegionSettings, username: str) -> None:
    from regiond.commands.admin_commands import create_api_key  # noqa: PLC0415  # after the reactor

    print(await create_api_key(settings, username, "created on the region's computer"))  # noqa: T201  # the command's answer


def _with_password(settings: RegionSettings, options: argparse.Namespace) -> int:
    """Reads the password, then runs the command: while the reactor runs, Ctrl-C would not end the prompt."""
    username = options.username
    try:
        password = _read_password(username or "the administrator", options.source)
    except (EOFError, KeyboardInterrupt):
        password = None
    if password is None:
        print("Nothing was changed: the two inputs differ, or none was given.", file=sys.stderr)  # noqa: T201
        return daemon.FAILED
    daemon.install_reactor()
    store = _store_password if options.command == "password" else _create_administrator
    return daemon.run(store(settings, username, password), when_interrupted=daemon.FAILED)


def _read_password(username: str, source: str | None) -> str | None:
    """Returns the password, read once from standard input (for `-` or without a terminal), else twice without echo.

    Returns None if the two differ.
    """
    if source == "-" or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n") or None
    password = getpass.getpass(f"New password of {username}: ")
    return password if getpass.getpass("Repeat it: ") == password else None


async def _store_password(settings: RegionSettings, username: str, password: str) -> None:
    from regiond.commands.admin_commands import set_password  # noqa: PLC0415  # after the reactor

    await set_password(settings, username, password)
    print(f"The password of {username} is set. Log in with: innkeeper login PROFILE URL --username {username}")  # noqa: T201


async def _create_administrator(settings: RegionSettings, username: str | None, password: str) -> None:
    from regiond.commands.admin_commands import create_administrator  # noqa: PLC0415  # after the reactor

    name = await create_administrator(settings, username, password)
    print(f"The administrator {name} was created. Log in with: innkeeper login PROFILE URL --username {name}")  # noqa: T201


async def _replace_authority(settings: RegionSettings) -> None:
    from regiond.commands.admin_commands import use_own_authority  # noqa: PLC0415  # after the reactor

    fingerprint = await use_own_authority(settings)
    print(f"The authority is now {fingerprint}. Every rack and RPC client has to join again.")  # noqa: T201


async def _check(settings: RegionSettings) -> None:
    from regiond.commands.admin_commands import check  # noqa: PLC0415  # after the reactor

    wrong = await check(settings)
    if wrong:
        raise InnkeeperError("\n".join(wrong))
    print("The ledger is consistent: every total is the sum of its claims. The audit trail is complete.")  # noqa: T201  # the command's answer


async def _rewrap(settings: RegionSettings, new_key_file: Path) -> None:
    from regiond.commands.admin_commands import rewrap_secrets  # noqa: PLC0415  # after the reactor

    print(await rewrap_secrets(settings, new_key_file, os.environ))  # noqa: T201  # the command's answer


def account_of_key(options: argparse.Namespace) -> str:
    """Returns the account for which `apikey` creates a key; MAAS names it with an option."""
    account: str = options.named or options.username
    return account


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="regiond", description="The Innkeeper region daemon.")
    parser.add_argument("--version", action="version", version=f"regiond {running_release()}")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: {CONFIG_FILE} if it exists)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="run the region until SIGTERM")
    setup_command_line.add_commands(commands)
    key = commands.add_parser("apikey", help="create another API key for an account and print it")
    key.add_argument("username", nargs="?", default="admin", metavar="ACCOUNT")
    key.add_argument("--username", dest="named", metavar="ACCOUNT", help="the same, as MAAS writes it")
    password = commands.add_parser("password", help="set the password of an account; ends its logins")
    password.add_argument("username", metavar="ACCOUNT")
    password.add_argument("source", nargs="?", choices=["-"], help="read it from standard input, as without a terminal")
    admin = commands.add_parser("admin", help="create an administrator")
    create = admin.add_subparsers(dest="admin_command", required=True, metavar="COMMAND").add_parser(
        "create", help="create the first administrator, or with --username another one"
    )
    create.add_argument("--username", metavar="NAME", help="default: admin, if there is no administrator")
    create.add_argument(
        "source", nargs="?", choices=["-"], help="read the password from standard input, as without a terminal"
    )
    commands.add_parser("replace-authority", help="use the authority in this region's folder; racks must join again")
    commands.add_parser("check", help="compare the ledger's totals with its claims, and verify the audit trail")
    backup_command_line.add_commands(commands)
    upgrade_check.add_command(commands)
    rewrap = commands.add_parser("rewrap", help="encrypt every secret with another master key; stop the regions first")
    rewrap.add_argument("new_key", type=Path, metavar="NEW_KEY_FILE", help="created if it does not exist")
    return parser


if __name__ == "__main__":
    main()

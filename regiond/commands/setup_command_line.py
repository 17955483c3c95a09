"""The commands `regiond init` and `regiond migrate`, for root on the region's computer.

SQL that needs the rights of an administrator runs as the user `postgres`, whom a local PostgreSQL knows, or on the
connection that `--server` names. The rest runs as the user of the region.
"""

from __future__ import annotations

import argparse
import getpass
import os
import pwd
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from common.errors import BadSettings, InnkeeperError, NotFound
from common.process import daemon
from common.process.child_process import ChildFailed, Children, Work, stopped_in_order
from common.process.logging import configure_logging
from common.process.private_files import replace_keeping_mode
from regiond.commands.database_setup import service
from regiond.commands.database_setup.model import (
    OWNER,
    SUPERUSER,
    Target,
    default_dsn,
    is_local,
    is_socket,
    local_administrator,
    with_database,
)
from regiond.process.settings import CONFIG_FILE, LOGGED_AS, RegionSettings

COMMANDS = ("init", "migrate")
ReadPassword = Callable[[str, str | None], str | None]
_READABLE_BY_ALL = 0o004
_NO_ADMINISTRATOR = (
    "There is no administrator yet: the two inputs differ, or none was given. Create one: innkeeper region admin create"
)


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = commands.add_parser("init", help="create roles, database, tables and the first administrator; as root")
    init.add_argument("--owner", default=OWNER, metavar="NAME", help=f"the role that owns the tables ({OWNER})")
    init.add_argument("--for-restore", action="store_true", help="leave the database empty, for region restore")
    init.add_argument(
        "source", nargs="?", choices=["-"], help="read the password from standard input, as without a terminal"
    )
    migrate = commands.add_parser("migrate", help="change the schema of the database to this release's; as root")
    migrate.add_argument("--if-set-up", action="store_true", help="do nothing without the setting database")
    for command in (init, migrate):
        add_server_option(command)


def add_server_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--server", metavar="DSN",
        help="connect to PostgreSQL as this administrator; - reads it from standard input",
    )  # fmt: skip


def run(settings: RegionSettings, options: argparse.Namespace, config: Path | None, read_password: ReadPassword) -> int:
    """Returns the exit status of the command."""
    try:
        if options.command == "migrate":
            return _migrate(settings, options)
        return _init(settings, options, config or CONFIG_FILE, read_password)
    except ChildFailed as error:
        return error.status
    except (InnkeeperError, EOFError, KeyboardInterrupt) as error:
        print(str(error) or "Interrupted. Repeat the command: it completes what is missing.", file=sys.stderr)  # noqa: T201
        return daemon.MISCONFIGURED if isinstance(error, BadSettings) else daemon.FAILED


def children(settings: RegionSettings) -> Children:
    """Their log has warnings only: the lines that the commands print say the rest."""
    level = settings.log_level if settings.log_level == "debug" else "warning"
    return Children(begin=lambda: configure_logging(level=level, process=LOGGED_AS))


def server_of(options: argparse.Namespace) -> str | None:
    """Returns the address of the administrator that the option names; for `-` it is typed, or read from a pipe."""
    if options.server != "-":
        named: str | None = options.server
        return named
    if sys.stdin.isatty():
        return getpass.getpass("Address of an administrator of PostgreSQL (it is not shown): ").strip()
    return sys.stdin.readline().strip()


@frozen(kw_only=True)
class Administrator:
    """An administrator of the database server. `user`: of this computer, as whom to connect; None: the current one."""

    dsn: str
    user: str | None

    @classmethod
    def of(cls, server: str | None, database: str) -> Administrator:
        """`server`: its address, None: the superuser of the local server of `database`. Raises BadSettings."""
        if server is not None:
            return cls(dsn=server, user=None)
        if not is_local(database):
            raise BadSettings(
                "The database is on another computer. Give the address of one of its administrators: --server "
                "postgresql://NAME:PASSWORD@HOST/postgres, or --server - to type it.",
                setting="database",
            )
        if os.geteuid() != 0:
            raise BadSettings("Run this command as root: it connects to PostgreSQL as the user postgres.")
        return cls(dsn=local_administrator(database), user=SUPERUSER)

    def run(self, settings: RegionSettings, work: Work) -> Any:
        """Raises ChildFailed, and BadSettings without a local PostgreSQL."""
        try:
            return children(settings).as_user(self.user, work)
        except NotFound as error:
            raise BadSettings(
                f"{error} Nothing was changed. Install PostgreSQL (on Debian: apt-get install postgresql), or give the "
                "address of an administrator of another server: --server -",
                setting="database",
            ) from error


def _migrate(settings: RegionSettings, options: argparse.Namespace) -> int:
    if options.if_set_up and settings.database is None:
        return daemon.OK
    dsn = settings.required_database
    owner = children(settings).as_owner(settings.state, lambda: service.foreign_owner(dsn))
    if owner is None:
        children(settings).as_owner(settings.state, lambda: service.change_own_schema(dsn, settings.state, say))
        return daemon.OK
    target, administrator = Target.of(dsn, owner), Administrator.of(server_of(options), dsn)
    administrator.run(settings, lambda: service.change_schema(administrator.dsn, target, say))
    return daemon.OK


@contextmanager
def with_owner(settings: RegionSettings, options: argparse.Namespace) -> Iterator[RegionSettings]:
    """Yields settings with which the region logs in as the owner of its database in the block.

    They are the same where the region's role owns the database. Raises ChildFailed and BadSettings.
    """
    dsn = settings.required_database
    owner = children(settings).as_owner(settings.state, lambda: service.foreign_owner(dsn))
    if owner is None:
        yield settings
        return
    target, administrator = Target.of(dsn, owner), Administrator.of(server_of(options), dsn)
    with stopped_in_order():
        own = administrator.run(settings, lambda: service.begin_as_owner(administrator.dsn, target))
        try:
            yield evolve(settings, database=own)
        finally:
            administrator.run(settings, lambda: service.end_as_owner(administrator.dsn, target))


def _init(settings: RegionSettings, options: argparse.Namespace, config: Path, read_password: ReadPassword) -> int:
    server = server_of(options)
    password = None if server is None or is_socket(server) else secrets.token_urlsafe(24)
    dsn = settings.database or default_dsn(server, password)
    target, administrator = Target.of(dsn, options.owner), Administrator.of(server, dsn)
    is_new = settings.database is None and password is not None
    administrator.run(settings, lambda: service.check_server(administrator.dsn, target, new_password=is_new))
    _make_state_folder(settings.state, target.role)
    if settings.database is None:
        _set_database(config, target)
        say(f"Setting database: written to {config}.")
    else:
        say("Setting database: existed.")
    administrator.run(settings, lambda: service.make_roles_and_database(administrator.dsn, target, say))
    if options.for_restore:
        say("Roles and database: ready. Continue with: innkeeper region restore FILE")
        return daemon.OK
    days = settings.keep_audit_days
    administrator.run(settings, lambda: service.make_schema(administrator.dsn, target, days, say))
    return _make_administrator(evolve(settings, database=dsn), options.source, read_password)


def _make_administrator(settings: RegionSettings, source: str | None, read_password: ReadPassword) -> int:
    """Logs in as the region, so that a role which PostgreSQL rejects is found now."""
    name = children(settings).as_owner(settings.state, lambda: _first_administrator(settings))
    if name is None:
        password = read_password("the administrator", source)
        if password is None:
            print(_NO_ADMINISTRATOR, file=sys.stderr)  # noqa: T201  # for the person at the terminal
            return daemon.FAILED
        name = children(settings).as_owner(settings.state, lambda: _create_administrator(settings, password))
        say(f"Administrator {name}: created.")
    else:
        say(f"Administrator {name}: existed.")
    say("Start the region: systemctl enable --now innkeeper-regiond")
    return daemon.OK


async def _first_administrator(settings: RegionSettings) -> str | None:
    from regiond.commands.admin_commands import first_administrator  # noqa: PLC0415  # after the reactor

    return await first_administrator(settings)


async def _create_administrator(settings: RegionSettings, password: str) -> str:
    from regiond.commands.admin_commands import create_administrator  # noqa: PLC0415  # after the reactor

    return await create_administrator(settings, None, password)


def _make_state_folder(folder: Path, user: str) -> None:
    """Packages make it; without them, it belongs to the user of this computer that has the role's name."""
    if os.geteuid() != 0 or folder.exists():
        return
    with suppress(KeyError):
        found = pwd.getpwnam(user)
        folder.mkdir(mode=0o700, parents=True)
        os.chown(folder, found.pw_uid, found.pw_gid)


def _set_database(config: Path, target: Target) -> None:
    """Keeps the mode, the owner and the comments of the file. Raises BadSettings if everybody could read a password."""
    try:
        text = config.read_text("utf-8") if config.exists() else ""
        if target.password is not None and config.exists() and config.stat().st_mode & _READABLE_BY_ALL:
            raise BadSettings(
                f"{config} gets the password of the database, and every user of this computer can read it. Nothing was "
                f"changed. Run: chmod o= {config}"
            )
        replace_keeping_mode(config, with_database(text, target.dsn))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"Cannot write {config}: {error}. Nothing was changed.") from error


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the command's answer

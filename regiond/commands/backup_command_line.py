"""The commands `regiond backup`, `verify-backup`, `restore`, `recovered`: files and processes.

Files are opened, and the pass phrase is read, with the rights of the person who runs the command; the rest runs as the
user of the region. So root can store a backup where the region must not write.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from common.errors import InnkeeperError
from common.process import daemon
from common.process.child_process import ChildFailed, Children
from common.process.logging import configure_logging
from regiond.backup.model import BackupFailed, check_passphrase
from regiond.backup.target import Target
from regiond.commands import setup_command_line
from regiond.process.settings import LOGGED_AS, RegionSettings

COMMANDS = ("backup", "verify-backup", "restore", "recovered")
STANDARD_OUTPUT = Path("-")
PASSPHRASE = "BACKUP_PASSPHRASE"  # noqa: S105  # not INNKEEPER_…: that prefix is of settings


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    backup = commands.add_parser("backup", help="write database, keys and settings to an encrypted file")
    backup.add_argument("--images", action="store_true", help="with the contents of images, not only their list")
    verify = commands.add_parser("verify-backup", help="read a backup to its end and show what it contains")
    restore = commands.add_parser("restore", help="restore a backup into an empty database and state folder")
    recovered = commands.add_parser("recovered", help="move a database on that PostgreSQL recovered to a point in time")
    for command in (backup, verify, restore):
        command.add_argument(
            "file", type=Path, metavar="FILE", help="- writes to a pipe" if command is backup else None
        )
        command.add_argument(
            "--passphrase-file", type=Path, metavar="FILE",
            help=f"its first line is the pass phrase (default: the variable {PASSPHRASE}, or a prompt)",
        )  # fmt: skip
    for command in (restore, recovered):
        setup_command_line.add_server_option(command)


def run(settings: RegionSettings, options: argparse.Namespace, config: Path | None) -> int:
    """Returns the exit status of the command."""
    try:
        return _run(settings, options, config)
    except ChildFailed as error:
        return error.status
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)  # noqa: T201  # for the person at the terminal
        return daemon.FAILED
    except (InnkeeperError, EOFError) as error:
        print(str(error) or "Nothing was done.", file=sys.stderr)  # noqa: T201  # for the person at the terminal
        return daemon.FAILED


def _run(settings: RegionSettings, options: argparse.Namespace, config: Path | None) -> int:
    if options.command == "recovered":
        return _changed(settings, options, _recovered)
    new = options.command == "backup"
    passphrase = read_passphrase(options.passphrase_file, os.environ, new=new)
    if not new:
        source = _opened(options.file)
        if options.command == "restore":
            return _changed(settings, options, lambda own: _restore(own, source, passphrase))
        return _as_region(settings, lambda: _verify(source, passphrase))
    toml = None if config is None else config.read_bytes()
    if options.file == STANDARD_OUTPUT:
        return _stream(settings, toml, passphrase, images=options.images)
    target = Target.open(options.file)
    try:
        status = _in_child(settings, lambda: _backup(settings, toml, target.file, passphrase, images=options.images))
        if status != daemon.OK:
            return status
        print(f"{options.file}: {target.commit():,} bytes, read back and complete.")  # noqa: T201  # the answer
        return daemon.OK
    finally:
        target.discard()


def _stream(settings: RegionSettings, toml: bytes | None, passphrase: str, *, images: bool) -> int:
    """Writes the backup to standard output, such as a pipe to another computer. It cannot be read back there."""
    if sys.stdout.isatty():
        raise BackupFailed("The backup is not for a terminal: name a file, or a program after | that stores it.")
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as target:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever is printed is no part of the backup
        status = _in_child(
            settings, lambda: _backup(settings, toml, target, passphrase, images=images, read_back=False)
        )
    if status == daemon.OK:
        print("The copy was not read back. Check it where it is: regiond verify-backup FILE", file=sys.stderr)  # noqa: T201
    return status


def _in_child(settings: RegionSettings, work: Callable[[], Any]) -> int:
    """Runs the work in a child process, as the user of the region. Returns its exit status.

    The parent keeps its rights: only it can name or remove the file in a folder of root.
    """
    children = Children(begin=lambda: configure_logging(level=settings.log_level, process=LOGGED_AS))
    try:
        children.as_owner(settings.state, work)
    except ChildFailed:
        return daemon.FAILED
    return daemon.OK


def _changed(
    settings: RegionSettings, options: argparse.Namespace, work: Callable[[RegionSettings], Coroutine[Any, Any, None]]
) -> int:
    """Runs work that changes what only the owner of the database may. `work` gets the settings with the address to use.

    After a kill the region's role keeps these rights until the work is repeated, or `init` or `migrate` runs.
    """
    with setup_command_line.with_owner(settings, options) as own:
        return _in_child(settings, lambda: work(own))


def _as_region(settings: RegionSettings, work: Callable[[], Any]) -> int:
    daemon.become_owner(settings.state)
    configure_logging(level=settings.log_level, process=LOGGED_AS)
    daemon.install_reactor()
    return daemon.run(work(), when_interrupted=daemon.FAILED)


async def _backup(
    settings: RegionSettings,
    toml: bytes | None,
    target: BinaryIO,
    passphrase: str,
    *,
    images: bool,
    read_back: bool = True,
) -> None:
    from regiond.commands.backup_commands import back_up  # noqa: PLC0415  # after the reactor

    contents = await back_up(settings, toml, target, passphrase, os.environ, images=images, read_back=read_back)
    print(f"Saved {contents.text()}.", flush=True)  # noqa: T201  # the command's answer


async def _verify(source: BinaryIO, passphrase: str) -> None:
    from regiond.commands.backup_commands import verify_backup  # noqa: PLC0415  # after the reactor

    print(await verify_backup(source, passphrase))  # noqa: T201  # the command's answer


async def _restore(settings: RegionSettings, source: BinaryIO, passphrase: str) -> None:
    from regiond.commands.backup_commands import restore  # noqa: PLC0415  # after the reactor

    print(await restore(settings, source, passphrase, os.environ))  # noqa: T201  # the command's answer


async def _recovered(settings: RegionSettings) -> None:
    from regiond.commands.backup_commands import recovered  # noqa: PLC0415  # after the reactor

    print(await recovered(settings, os.environ))  # noqa: T201  # the command's answer


def _opened(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupFailed(f"Cannot read {path}: {error.strerror}.") from error
    if not file.seekable():
        file.close()
        raise BackupFailed(f"{path} is no file that can be read twice, such as a pipe: copy it to the disk first.")
    return file


def read_passphrase(file: Path | None, environment: Mapping[str, str], *, new: bool) -> str:
    """Returns the first line of the file, else the variable, else what is typed (twice if it is `new`).

    Never an argument: every user of the computer sees those. Raises BackupFailed.
    """
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BackupFailed(f"Cannot read the pass phrase from {file}: {error}.") from error
        found = lines[0] if lines else ""
    elif environment.get(PASSPHRASE):
        found = environment[PASSPHRASE]
    elif sys.stdin.isatty():
        found = getpass.getpass("Pass phrase of the backup: ")
        if new and getpass.getpass("Repeat it: ") != found:
            raise BackupFailed("The two inputs differ: nothing was done.")
    else:
        raise BackupFailed(
            f"No pass phrase: use --passphrase-file FILE or the variable {PASSPHRASE}, or run this on a terminal."
        )
    return check_passphrase(found) if new else found

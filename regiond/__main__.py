"""The region daemon's command: `regiond run`, and what an administrator does on its machine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from common import daemon
from common.errors import BadSettings, InnkeeperError
from common.logging import configure_logging
from common.settings import config_file, load
from common.systemd_notify import ServiceManager
from regiond.settings import CONFIG_FILE, RegionSettings


def main() -> NoReturn:
    """Ends with status 0, 1 when it failed, 2 when the command line or the settings are wrong."""
    daemon.leave(_status(sys.argv[1:]))


def _status(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    try:
        daemon.check_installation()
        file = config_file(asked.config, os.environ, CONFIG_FILE)
        settings = load(RegionSettings, file=file, environment=os.environ)
    except BadSettings as error:
        print(error, file=sys.stderr)  # noqa: T201  # to the person who starts it
        return daemon.MISCONFIGURED
    configure_logging(level=settings.log_level)
    daemon.install_reactor()
    if asked.command == "apikey":
        return daemon.run(_make_key(settings, asked.username), when_interrupted=daemon.FAILED)
    if asked.command == "replace-authority":
        return daemon.run(_replace_authority(settings), when_interrupted=daemon.FAILED)
    if asked.command == "check":
        return daemon.run(_check(settings), when_interrupted=daemon.FAILED)
    if asked.command == "rewrap":
        return daemon.run(_rewrap(settings, asked.new_key), when_interrupted=daemon.FAILED)
    return daemon.run(_run(settings))


async def _run(settings: RegionSettings) -> None:
    from regiond.service import RegionService  # noqa: PLC0415  # after the reactor

    await RegionService(settings, ServiceManager()).serve()


async def _make_key(settings: RegionSettings, username: str) -> None:
    from regiond.maintenance import make_key  # noqa: PLC0415  # after the reactor

    print(await make_key(settings, username, "made on the region's machine"))  # noqa: T201  # the command's answer


async def _replace_authority(settings: RegionSettings) -> None:
    from regiond.maintenance import use_own_authority  # noqa: PLC0415  # after the reactor

    fingerprint = await use_own_authority(settings)
    print(f"The authority is {fingerprint} now: every rack and RPC client has to join again.")  # noqa: T201


async def _check(settings: RegionSettings) -> None:
    from regiond.maintenance import check  # noqa: PLC0415  # after the reactor

    wrong = await check(settings)
    if wrong:
        raise InnkeeperError("\n".join(wrong))
    print("The ledger is right: every total is the sum of its claims.")  # noqa: T201  # the command's answer


async def _rewrap(settings: RegionSettings, new_key_file: Path) -> None:
    from regiond.maintenance import rewrap_secrets  # noqa: PLC0415  # after the reactor

    print(await rewrap_secrets(settings, new_key_file, os.environ))  # noqa: T201  # the command's answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="regiond", description="The Innkeeper region daemon.")
    parser.add_argument("--version", action="version", version=f"regiond {version('innkeeper')}")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: {CONFIG_FILE} if it exists)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="run the region, until SIGTERM")
    key = commands.add_parser("apikey", help="make a further API key for an account and print it")
    key.add_argument("username", nargs="?", default="admin", metavar="ACCOUNT")
    commands.add_parser("replace-authority", help="use the authority of this region's folder; all racks join again")
    commands.add_parser("check", help="hold the ledger's totals against its claims")
    rewrap = commands.add_parser("rewrap", help="seal every secret with another master key; stop the regions first")
    rewrap.add_argument("new_key", type=Path, metavar="NEW_KEY_FILE", help="made when it is not there")
    return parser


if __name__ == "__main__":
    main()

"""The region daemon's command: `regiond run`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from common import daemon
from common.errors import BadSettings
from common.logging import configure_logging
from common.settings import load
from common.systemd_notify import ServiceManager
from regiond.settings import CONFIG_FILE, RegionSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 when it failed, 2 when the command line or the settings are wrong."""
    asked = _parser().parse_args(arguments)
    try:
        daemon.check_installation()
        settings = load(RegionSettings, file=_config_file(asked.config, os.environ), environment=os.environ)
    except BadSettings as error:
        print(error, file=sys.stderr)  # noqa: T201  # to the person who starts it
        return daemon.MISCONFIGURED
    configure_logging(level=settings.log_level)
    daemon.install_reactor()
    return daemon.run(_run(settings))


async def _run(settings: RegionSettings) -> None:
    from regiond.service import RegionService  # noqa: PLC0415  # after the reactor

    await RegionService(settings, ServiceManager()).serve()


def _config_file(named: Path | None, environment: Mapping[str, str]) -> Path | None:
    """A file that is named has to be there; the usual one need not."""
    if named is None and environment.get("INNKEEPER_CONFIG"):
        return Path(environment["INNKEEPER_CONFIG"])
    return named or (CONFIG_FILE if CONFIG_FILE.exists() else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="regiond", description="The Innkeeper region daemon.")
    parser.add_argument("--version", action="version", version=f"regiond {version('innkeeper')}")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: {CONFIG_FILE} if it exists)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="run the region, until SIGTERM")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The command line of rackd, without imports of drivers: the manual page is made from it."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from common.release import running_release
from rackd.settings import CONFIG_FILE


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rackd", description="The Innkeeper rack daemon.")
    parser.add_argument("--version", action="version", version=f"rackd {running_release()}")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: {CONFIG_FILE} if it exists)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    join = commands.add_parser("join", help="make this machine a rack of a region")
    join.add_argument(
        "token",
        metavar="- | @FILE | TOKEN",
        help="one-time token from: innkeeper rack token. - reads it from standard input, @FILE from a file; other "
        "users of this machine can see a TOKEN that is typed here",
    )
    join.add_argument("--name", default=socket.gethostname(), help="the rack's name (default: this machine's)")
    commands.add_parser("run", help="run the rack, until SIGTERM")
    return parser

"""The command `regiond upgrade-check`: says what would stop an upgrade. It needs no running region."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from attrs import asdict

from common.errors import BadSettings
from common.process import daemon
from common.process.logging import configure_logging
from common.process.settings import config_file, load_known
from common.release import running_release
from regiond.commands.upgrades.model import Finding, settings_finding, stops
from regiond.commands.upgrades.service import check_upgrade
from regiond.process.settings import CONFIG_FILE, LOGGED_AS, RegionSettings

COMMAND = "upgrade-check"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(COMMAND, help="say what would stop this build from taking over the database")
    command.add_argument("-o", "--output", choices=["text", "json"], default="text")


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Returns the exit status: 0, or 1 if the upgrade would be stopped."""
    found = _findings(options.config, environment)
    write = _json if options.output == "json" else _text
    sys.stdout.write(f"{write(found)}\n")
    return daemon.FAILED if stops(found) else daemon.OK


def _findings(config: Path | None, environment: Mapping[str, str]) -> tuple[Finding, ...]:
    file = config_file(config, environment, CONFIG_FILE)
    try:
        settings, problems = load_known(RegionSettings, file=file, environment=environment)
    except BadSettings as error:
        return (settings_finding([error.message]),)
    daemon.become_owner(settings.state)
    configure_logging(level="error", process=LOGGED_AS)
    return asyncio.run(check_upgrade(settings, problems))


def _text(found: tuple[Finding, ...]) -> str:
    lines = [f"Upgrade to Innkeeper {running_release()}:"]
    for one in found:
        lines.append(f"{one.level.value:<10} {one.check}: {one.message}")
        if one.remedy is not None:
            lines.append(f"{'':<10} {one.remedy}")
    lines.append("The upgrade would be stopped." if stops(found) else "Nothing would stop the upgrade.")
    return "\n".join(lines)


def _json(found: tuple[Finding, ...]) -> str:
    answer = {"release": running_release(), "stops": stops(found), "findings": [asdict(one) for one in found]}
    return json.dumps(answer, indent=2)

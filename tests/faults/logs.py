"""Finds log lines of the daemons that report bugs."""

from __future__ import annotations

import json
from pathlib import Path

EXPECTED = ("asyncpg.pool",)  # logs each failed connection while PostgreSQL is down


def bugs_logged(log: Path) -> list[str]:
    """Lines with a traceback, and lines that are not log events."""
    found = []
    for line in log.read_text().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            found.append(line)
            continue
        if "exception" in event and event.get("library") not in EXPECTED:
            found.append(line)
    return found

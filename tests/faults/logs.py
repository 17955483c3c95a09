"""What the logs of daemons say that no fault excuses."""

from __future__ import annotations

import json
from pathlib import Path

EXPECTED = ("asyncpg.pool",)  # it logs each connection that it fails to make while PostgreSQL is away


def bugs_logged(log: Path) -> list[str]:
    """Lines with a traceback, or that are no log lines at all."""
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

"""The address at which a guest reports that it has booted: `…/MAAS/report/DEPLOYMENT/SECRET`."""

from __future__ import annotations

import re

PATH = "/MAAS/report"
_REPORT = re.compile(rf"{PATH}/([0-9]{{1,18}})/([A-Za-z0-9_-]{{20,100}})(?![A-Za-z0-9_-])")


def report_url(base_url: str, deployment_id: int, secret: str) -> str:
    """`base_url` has no slash at its end."""
    return f"{base_url}{PATH}/{deployment_id}/{secret}"


def find_report(text: str) -> tuple[int, str] | None:
    """Returns deployment and secret of the first such address in the text; None if it has none."""
    found = _REPORT.search(text)
    return None if found is None else (int(found[1]), found[2])

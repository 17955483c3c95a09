"""The addresses at which a deployed guest reports, and fetches what its hypervisor does not store.

`…/MAAS/report/DEPLOYMENT/SECRET` when it has booted. Below it, before that: `/user-data` for large user data, and
`/vm-host` if a hypervisor was set up.
"""

from __future__ import annotations

import re
from enum import StrEnum

from attrs import field, frozen

PATH = "/MAAS/report"


class ReportPage(StrEnum):
    """The page that a guest requests: the end of its URL."""

    BOOTED = ""
    VM_HOST = "/vm-host"
    USER_DATA = "/user-data"


VM_HOST, USER_DATA = ReportPage.VM_HOST.value, ReportPage.USER_DATA.value
_REPORT = re.compile(rf"{PATH}/([0-9]{{1,18}})/([A-Za-z0-9_-]{{20,100}})({VM_HOST}|{USER_DATA}|)(?![A-Za-z0-9_-])")


@frozen(kw_only=True)
class ReportAddress:
    deployment_id: int
    secret: str = field(repr=False)
    page: ReportPage = ReportPage.BOOTED


def report_url(base_url: str, deployment_id: int, secret: str) -> str:
    """`base_url` has no slash at its end."""
    return f"{base_url}{PATH}/{deployment_id}/{secret}"


def find_report(text: str) -> ReportAddress | None:
    """Returns the first such address in the text; None if it has none."""
    return _address(_REPORT.search(text))


def read_report_path(path: str) -> ReportAddress | None:
    """Returns what the path of a request names; None if it is no such address."""
    return _address(_REPORT.fullmatch(path))


def without_secret(path: str) -> str:
    """Returns the path of a request for logs: of such an address, only what comes before the secret."""
    if not path.startswith(f"{PATH}/"):
        return path
    return "/".join([*path.split("/")[:4], "…"])


def _address(found: re.Match[str] | None) -> ReportAddress | None:
    if found is None:
        return None
    return ReportAddress(deployment_id=int(found[1]), secret=found[2], page=ReportPage(found[3]))

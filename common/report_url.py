"""The addresses at which a deployed guest reports.

`…/MAAS/report/DEPLOYMENT/SECRET` when it has booted, and before that `/vm-host` below it if a hypervisor was set up.
"""

from __future__ import annotations

import re

from attrs import field, frozen

PATH = "/MAAS/report"
VM_HOST = "/vm-host"
_REPORT = re.compile(rf"{PATH}/([0-9]{{1,18}})/([A-Za-z0-9_-]{{20,100}})({VM_HOST})?(?![A-Za-z0-9_-])")


@frozen(kw_only=True)
class ReportAddress:
    deployment_id: int
    secret: str = field(repr=False)
    of_vm_host: bool


def report_url(base_url: str, deployment_id: int, secret: str) -> str:
    """`base_url` has no slash at its end."""
    return f"{base_url}{PATH}/{deployment_id}/{secret}"


def find_report(text: str) -> ReportAddress | None:
    """Returns the first such address in the text; None if it has none."""
    return _address(_REPORT.search(text))


def read_report_path(path: str) -> ReportAddress | None:
    """Returns what the path of a request names; None if it is no such address."""
    return _address(_REPORT.fullmatch(path))


def _address(found: re.Match[str] | None) -> ReportAddress | None:
    if found is None:
        return None
    return ReportAddress(deployment_id=int(found[1]), secret=found[2], of_vm_host=found[3] is not None)

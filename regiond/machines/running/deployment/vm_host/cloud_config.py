"""The cloud-config that makes a guest a VM host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from common.values import DriverType

_FOLDER = "/run/innkeeper"
_PROGRAM, _SCRIPT, _REPORT_TO = "prepare_vm_host.py", "set_up.sh", "report-to"
_SCRIPTS: Mapping[DriverType, str] = {DriverType.LXD: "lxd.sh", DriverType.LIBVIRT: "libvirt.sh"}
_PART_OF_LIMIT = 0.8  # the rest of the deployment's time limit is for the boot
_ROOT_ONLY = "0600"


def vm_host_config(driver: DriverType, trusted: str, report_to: str, limit_s: float) -> dict[str, Any]:
    """Returns the cloud-config to add for an LXD server or a libvirt host.

    `trusted` is the certificate (PEM) or the SSH public key (one line) that the host accepts; `report_to` is the
    address of its report, whose secret stays out of arguments: every process of the guest can read those. `limit_s` is
    the time limit of the deployment in seconds.
    """
    texts = {
        _PROGRAM: _read(_PROGRAM),
        _SCRIPT: _read(_SCRIPTS[driver]),
        "trusted": trusted.strip() + "\n",
        _REPORT_TO: report_to + "\n",
    }
    seconds = str(int(limit_s * _PART_OF_LIMIT))
    return {
        "write_files": [
            {"path": f"{_FOLDER}/{name}", "permissions": _ROOT_ONLY, "content": text} for name, text in texts.items()
        ],
        "runcmd": [["python3", f"{_FOLDER}/{_PROGRAM}", f"{_FOLDER}/{_REPORT_TO}", f"{_FOLDER}/{_SCRIPT}", seconds]],
    }


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text()

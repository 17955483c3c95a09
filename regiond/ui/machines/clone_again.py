"""The form of clones that were requested before, so that they can be changed and requested again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from common.guests.compose_request import ComposeRequest
from regiond.machines.arrivals.clones.service import compose_request
from regiond.machines.values.clones import CloneRequest
from regiond.requests.identifiers import numbered_names
from regiond.ui.web_request import page_url


def clone_of(asked: ComposeRequest) -> CloneRequest | None:
    """Returns the clone that a compose with a template is; None for one that asked for more than a clone can."""
    found = CloneRequest(
        hostname=asked.hostname, pool=asked.pool, cores=asked.cores or None, memory_mib=asked.memory_mib or None,
        storage_pool=asked.storage_pool, power_on=asked.power_on,
    )  # fmt: skip
    return found if compose_request(asked.template or "", found) == evolve(asked, host_id=None) else None


def is_shown(asked: CloneRequest) -> bool:
    """Returns whether the form has fields for all of the request."""
    return asked.pool is None and not asked.power_on


def page_again(system_id: str, asked: CloneRequest, missing: Sequence[str]) -> str:
    """Returns the URL of the form for those clones of the machine that are `missing`, by their names.

    If the names that were asked for do not follow each other, it is for the first of them that do. Clones without a
    name get new ones.
    """
    run = missing if asked.hostname is None else next(
        (missing[:count] for count in range(len(missing), 0, -1) if _is_series(missing[:count])), missing[:1]
    )  # fmt: skip
    values = {
        "hostname": "" if asked.hostname is None else run[0] if run else asked.hostname, "count": str(len(run) or 1),
        "cores": str(asked.cores or ""), "memory": str(asked.memory_mib or ""), "storage_pool": asked.storage_pool,
    }  # fmt: skip
    return page_url("vms", system_id, "clone", query={name: value for name, value in values.items() if value})


def _is_series(names: Sequence[str]) -> bool:
    return numbered_names(names[0], len(names)) == tuple(names)

"""The part of an import's page about a MAAS that is watched: its hosts, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from regiond.maas.imports.model import MaasImport
from regiond.maas.parallel.model import DifferenceKind
from regiond.maas.services import MaasServices
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant

_MOST_DIFFERENCES = 200
DIFFERENCE_WORDS: Mapping[DifferenceKind, str] = {
    DifferenceKind.ONLY_IN_MAAS: constant("only in MAAS"),
    DifferenceKind.ONLY_ON_HOST: constant("only on the host"),
    DifferenceKind.POWER_STATE: constant("power state"),
    DifferenceKind.CORES: constant("cores"),
    DifferenceKind.MEMORY: constant("memory in MiB"),
    DifferenceKind.PINNED_CORES: constant("pinned cores"),
    DifferenceKind.HUGE_PAGES: constant("huge pages"),
    DifferenceKind.MAC_ADDRESSES: constant("MAC addresses"),
    DifferenceKind.MOVED: constant("moved to another member of the cluster"),
    DifferenceKind.DELETED_IN_MAAS: constant("deleted in MAAS"),
    DifferenceKind.IN_MOTION: constant("MAAS is at work"),
    DifferenceKind.HOST_NOT_READY: constant("the host is not ready"),
}


async def parallel_run(visit: Visit, found: MaasImport) -> Mapping[str, Any]:
    """Returns the values of the template; an import that is not watched has no run."""
    if not found.watched:
        return {"run": None}
    run = await visit.services.of(MaasServices).maas_comparisons.last(visit.caller, found.id)
    shown = run.differences[:_MOST_DIFFERENCES]
    return {
        "run": run,
        "differences": shown,
        "more_differences": len(run.differences) - len(shown) + run.more,
        "differences_of": Counter(one.host_id for one in run.differences),
        "difference_words": DIFFERENCE_WORDS,
    }

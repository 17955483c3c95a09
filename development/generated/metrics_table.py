"""Prints the metrics of regions and racks, from the instruments; `--write` updates the page.

python -m development.generated.metrics_table [--write]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from common.process.metric_families import Family
from development.generated.generated_section import CHECKOUT, GeneratedSection
from rackd.rack_metrics import STATE_FAMILIES, RackMetrics
from rackd.usage.guest_metrics import rows as guest_metrics
from regiond.attention.model import AttentionLimits
from regiond.db.pool_use import PoolUse
from regiond.metrics.service import RegionMetrics

_NO_DATABASE: Any = SimpleNamespace(pool_use=PoolUse(size=0, idle=0, limit=0, waiting=0))


def tables() -> str:
    """Returns a table for the region and one for the rack, both by name."""
    region = RegionMetrics(
        _NO_DATABASE, limits=AttentionLimits(), own_certificates=dict, claim_outcomes=(), check_outcomes=()
    )
    rack = RackMetrics()
    return "\n".join((
        "## Regions\n", *_table(region.registry, region.families_of_readings), "",
        "## Racks\n", *_table(rack.registry, STATE_FAMILIES), "",
        "## Guests, at racks with `metrics_guests`\n", *_lines(guest_metrics()),
    ))  # fmt: skip


def _table(registry: CollectorRegistry, families: Iterable[Family]) -> Iterator[str]:
    """Yields the lines of the table of the instruments, and of the families that a scrape reads."""
    rows = {(f"{one.name}{_SUFFIXES.get(one.type, '')}", one.type, one.documentation) for one in registry.collect()}
    rows |= {(f"innkeeper_{one.name}", "gauge", one.text) for one in families}
    yield from _lines(rows)


def _lines(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    yield from ("| Metric | Type | Meaning |", "|---|---|---|")
    yield from (f"| `{name}` | {kind} | {text} |" for name, kind, text in sorted(rows))


_SUFFIXES = {"counter": "_total", "info": "_info"}


SECTION = GeneratedSection(
    page=CHECKOUT / "docs/reference/metrics.md",
    title="metrics",
    module="development.generated.metrics_table",
    generate=lambda: f"\n{tables()}\n",
)

if __name__ == "__main__":
    SECTION.run(__doc__)

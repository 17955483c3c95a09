"""Gauges whose values are read at a scrape: names and samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen
from prometheus_client.core import GaugeMetricFamily, Metric


@frozen(kw_only=True)
class Family:
    """A gauge. `name` has no prefix and ends in its unit; the values of a label are bounded."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


@frozen
class Sample:
    """A value of a family; `labels` are in the order of the family's."""

    family: Family
    value: float
    labels: tuple[str, ...] = ()


def metrics_of(families: Iterable[Family], samples: Sequence[Sample]) -> tuple[Metric, ...]:
    """Returns each family with its samples; one without a sample has only its description."""
    found = {
        family: GaugeMetricFamily(f"innkeeper_{family.name}", family.text, labels=family.labels) for family in families
    }
    for sample in samples:
        found[sample.family].add_metric(sample.labels, float(sample.value))
    return tuple(found.values())

"""Plots the growth curves. Requires matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_SIZE = (9.0, 6.0)


def draw(curves: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One panel per curve, both axes logarithmic."""
    with mpl.rc_context({"svg.hashsalt": "innkeeper", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(2, -(-max(len(curves), 2) // 2), squeeze=False).flat
        for panel, curve in zip(panels, curves, strict=False):
            _panel(panel, curve)
        figure.savefig(path, metadata={"Date": None})  # the same values make the same file


def _panel(panel: Any, curve: Mapping[str, Any]) -> None:
    panel.plot(*_points(curve["ours"]), marker="o", label="Innkeeper")
    if curve["simple"]:
        panel.plot(*_points(curve["simple"]), marker="x", linestyle="--", label=curve["simple_way"])
    sizes, _ = _points(curve["ours"])
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
    panel.set_ylim(_decades([*curve["ours"].values(), *curve["simple"].values()]))
    panel.minorticks_off()  # each tick is a line in the file
    panel.set_title(curve["what"], fontsize=9)
    panel.set_xlabel("hosts")
    panel.set_ylabel("ms")
    panel.grid(visible=True, which="major", alpha=0.3)
    panel.legend(fontsize=8)


def _decades(values: Iterable[float]) -> tuple[float, float]:
    """From the power of ten below all values to the one above."""
    powers = [math.log10(value) for value in values]
    return 10 ** math.floor(min(powers)), 10 ** math.ceil(max(powers) + 1e-9)


def _points(values: Mapping[Any, float]) -> tuple[list[int], list[float]]:
    sizes = sorted(values, key=int)
    return [int(size) for size in sizes], [values[size] for size in sizes]

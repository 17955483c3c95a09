"""Plots the samples of a soak test. Requires matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_COLOURS = {"region": "tab:blue", "rack": "tab:orange"}
_PANELS = (("memory, MiB", 1, 1024.0), ("threads", 2, 1.0), ("open files", 3, 1.0))


def draw(lives: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One line for each process, from its start until it was killed."""
    with mpl.rc_context({"svg.hashsalt": "innkeeper", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9.0, 7.0), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(len(_PANELS), 1, sharex=True)
        for panel, (title, column, unit) in zip(panels, _PANELS, strict=True):
            _panel(panel, lives, title, column, unit)
        panels[-1].set_xlabel("seconds")
        figure.savefig(path, metadata={"Date": None})  # the same samples make the same file


def _panel(panel: Any, lives: Sequence[Mapping[str, Any]], title: str, column: int, unit: float) -> None:
    named: set[str] = set()
    for life in lives:
        at_s = [sample[0] for sample in life["samples"]]
        values = [sample[column] / unit for sample in life["samples"]]
        label = None if life["process"] in named else life["process"]
        panel.plot(at_s, values, color=_COLOURS[life["process"]], linewidth=1.0, label=label)
        named.add(life["process"])
    calm = [life["samples"][0][0] for life in lives if life["phase"] == "calm" and life["samples"]]
    if calm:
        panel.axvline(min(calm), color="grey", linestyle=":", linewidth=1.0)
    panel.set_ylim(bottom=0)
    panel.set_ylabel(title)
    panel.grid(visible=True, alpha=0.3)
    panel.legend(fontsize=8, loc="lower right")

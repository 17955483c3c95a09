"""Writes the results of a run as JSON, and a page made from the JSON alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from tests.bench.growth import Curve
from tests.bench.lines import Line, times
from tests.bench.machine import Machine

NOT_MEASURED: tuple[str, ...] = ()  # goals without a figure
JSON_FILE, PLOT_FILE, PAGE_FILE = "bench/figures.json", "bench/growth.svg", "explanation/figures.md"


@frozen(kw_only=True)
class Report:
    """One run. `skipped` says why figures were not measured on this machine."""

    machine: Machine
    date: str
    took_s: float
    quick: bool
    lines: Sequence[Line]
    curves: Sequence[Curve]
    skipped: Sequence[str]

    @property
    def missed(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.good is False)

    def plain(self) -> dict[str, Any]:
        """Returns the values for JSON: `met` is null without a goal, `against.ratio` compares with the baseline."""
        return {
            "date": self.date,
            "took_s": round(self.took_s),
            "quick": self.quick,
            "machine": {**asdict(self.machine), "memory_gib": round(self.machine.memory_gib, 1)},
            "figures": [_figure(line) for line in self.lines],
            "growth": [curve.plain() for curve in self.curves],
            "not_measured": [*NOT_MEASURED, *self.skipped],
        }


def _figure(line: Line) -> dict[str, Any]:
    against = line.against
    baseline = None if against is None else {**asdict(against), "ratio": round(against.ratio, 2)}
    return {
        "key": line.key, "what": line.what, "wanted": line.wanted, "met": line.good, "measured": line.measured,
        "numbers": dict(line.numbers), "against": baseline,
    }  # fmt: skip


def write(plain: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Writes JSON, plot and page into `folder`, laid out as `docs/`; returns the paths. Requires matplotlib."""
    from tests.bench.plot import draw

    paths = {name: folder / name for name in (JSON_FILE, PLOT_FILE, PAGE_FILE)}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    paths[JSON_FILE].write_text(json.dumps(plain, ensure_ascii=False, indent=1) + "\n")
    paths[PAGE_FILE].write_text(page(plain))
    draw(plain["growth"], paths[PLOT_FILE])
    return tuple(paths.values())


def page(plain: Mapping[str, Any]) -> str:
    """Returns Markdown for the values of `Report.plain`."""
    machine = plain["machine"]
    took = f"{plain['took_s'] / 60:.0f} minutes" if plain["took_s"] >= 120 else f"{plain['took_s']} seconds"
    return "\n".join(
        (
            "# Figures",
            "",
            "*Written by `./dev bench` from [figures.json](../bench/figures.json); do not edit.*",
            "[Benchmarks](benchmarks.md) explains how each figure is measured, and why goals are missed.",
            "",
            f"{plain['date']}, commit {machine['commit']}, in {took}: {machine['cores']} cores of {machine['cpu']}, "
            f"{machine['memory_gib']:.0f} GiB, kernel {machine['kernel']}, PostgreSQL {machine['postgresql']}, "
            f"Python {machine['python']}. Load before the run: {machine['load']:.1f}."
            + (" A quick run: small databases, few repetitions." if plain["quick"] else ""),
            "",
            *_figures(plain["figures"]),
            "",
            "× is the ratio to a simple baseline for the same work, in the same run and on the same data; "
            "below 1, the baseline is better.",
            *(["", "Not measured:", ""] if plain["not_measured"] else []),
            *(f"- {reason}" for reason in plain["not_measured"]),
            *_growth(plain["growth"]),
            "",
        )
    )


def _figures(figures: Iterable[Mapping[str, Any]]) -> list[str]:
    words = {True: "met", False: "**missed**", None: ""}
    rows = ["| What | Goal | Measured | | Baseline |", "|---|---|---|---|---|"]
    for figure in figures:
        against = figure["against"]
        other = "" if against is None else f"{times(against['ratio'])} × {against['what']}: {against['measured']}"
        rows.append(
            f"| {figure['what']} | {figure['wanted']} | {figure['measured']} | {words[figure['met']]} | {other} |"
        )
    return rows


def _growth(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    if not curves:
        return []
    sizes = [str(size) for size in curves[0]["ours"]]
    rows = [
        "", "## Growth", "", "![Milliseconds by number of hosts](../bench/growth.svg)", "",
        "Median milliseconds by number of hosts, five machines on each; the baseline in parentheses.", "",
        f"| Hosts | {' | '.join(f'{int(size):,}' for size in sizes)} |", f"|---|{'---|' * len(sizes)}",
    ]  # fmt: skip
    for curve in curves:
        cells = [_cell(_by_size(curve["ours"]), _by_size(curve["simple"]), size) for size in sizes]
        simple = f" ({curve['simple_way']})" if curve["simple_way"] else ""
        rows.append(f"| {curve['what']}{simple} | {' | '.join(cells)} |")
    return rows


def _by_size(values: Mapping[Any, float]) -> dict[str, float]:
    """Converts the keys, which are strings in JSON."""
    return {str(size): value for size, value in values.items()}


def _cell(ours: Mapping[str, float], simple: Mapping[str, float], size: str) -> str:
    return f"{ours[size]:.1f} ({simple[size]:.1f})" if size in simple else f"{ours[size]:.1f}"

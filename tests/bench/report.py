"""What a whole run leaves: its numbers as JSON, and a page for people made from that JSON alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from tests.bench.growth import Curve
from tests.bench.lines import Line, times
from tests.bench.machine import Machine

NOT_MEASURED = (
    "A hypervisor's event to the browser (wanted: p99 ≤ 1 s): there is no web interface yet.",
)  # fmt: skip
JSON_FILE, PLOT_FILE, PAGE_FILE = "bench/figures.json", "bench/growth.svg", "explanation/figures.md"


@frozen(kw_only=True)
class Report:
    """One run. `skipped` says why a figure was not measured on this machine."""

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
        """For JSON: `met` is null where no figure is set; `against.ratio` is how many times better ours is."""
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
    told = None if against is None else {**asdict(against), "ratio": round(against.ratio, 2)}
    return {
        "key": line.key, "what": line.what, "wanted": line.wanted, "met": line.good, "measured": line.measured,
        "numbers": dict(line.numbers), "against": told,
    }  # fmt: skip


def write(plain: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """JSON, plot and page below `folder`, which is laid out as `docs/`; what was written. Needs matplotlib."""
    from tests.bench.plot import draw

    told = {name: folder / name for name in (JSON_FILE, PLOT_FILE, PAGE_FILE)}
    for path in told.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    told[JSON_FILE].write_text(json.dumps(plain, ensure_ascii=False, indent=1) + "\n")
    told[PAGE_FILE].write_text(page(plain))
    draw(plain["growth"], told[PLOT_FILE])
    return tuple(told.values())


def page(plain: Mapping[str, Any]) -> str:
    """Markdown, of what `Report.plain` told."""
    machine = plain["machine"]
    took = f"{plain['took_s'] / 60:.0f} minutes" if plain["took_s"] >= 120 else f"{plain['took_s']} seconds"
    return "\n".join(
        (
            "# Figures",
            "",
            "Made by `./dev bench` from [figures.json](../bench/figures.json): not written by hand.",
            "[Benchmarks](benchmarks.md) says how each is measured, and why what is missed is missed.",
            "",
            f"{plain['date']}, commit {machine['commit']}, in {took}: {machine['cores']} cores of {machine['cpu']}, "
            f"{machine['memory_gib']:.0f} GiB, kernel {machine['kernel']}, PostgreSQL {machine['postgresql']}, "
            f"Python {machine['python']}. Load before the run: {machine['load']:.1f}."
            + (" A quick run: small worlds, few tries." if plain["quick"] else ""),
            "",
            *_figures(plain["figures"]),
            "",
            "× says how many times better than the simple way of the same work, done in the same run on the same data; "
            "below 1, the simple way is better.",
            "",
            "Not measured:",
            "",
            *(f"- {reason}" for reason in plain["not_measured"]),
            *_growth(plain["growth"]),
            "",
        )
    )


def _figures(figures: Iterable[Mapping[str, Any]]) -> list[str]:
    words = {True: "met", False: "**missed**", None: ""}
    rows = ["| What | Wanted | Measured | | Against |", "|---|---|---|---|---|"]
    for told in figures:
        against = told["against"]
        other = "" if against is None else f"{times(against['ratio'])} × {against['what']}: {against['measured']}"
        rows.append(f"| {told['what']} | {told['wanted']} | {told['measured']} | {words[told['met']]} | {other} |")
    return rows


def _growth(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    if not curves:
        return []
    sizes = [str(size) for size in curves[0]["ours"]]
    rows = [
        "", "## Growth", "", "![Milliseconds by number of hosts](../bench/growth.svg)", "",
        "Median milliseconds by number of hosts, five machines on each; the simple way in brackets.", "",
        f"| Hosts | {' | '.join(f'{int(size):,}' for size in sizes)} |", f"|---|{'---|' * len(sizes)}",
    ]  # fmt: skip
    for curve in curves:
        cells = [_cell(_by_size(curve["ours"]), _by_size(curve["simple"]), size) for size in sizes]
        simple = f" ({curve['simple_way']})" if curve["simple_way"] else ""
        rows.append(f"| {curve['what']}{simple} | {' | '.join(cells)} |")
    return rows


def _by_size(told: Mapping[Any, float]) -> dict[str, float]:
    """JSON has no numbers as keys."""
    return {str(size): value for size, value in told.items()}


def _cell(ours: Mapping[str, float], simple: Mapping[str, float], size: str) -> str:
    return f"{ours[size]:.1f} ({simple[size]:.1f})" if size in simple else f"{ours[size]:.1f}"

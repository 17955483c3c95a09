"""Compares this tree with another commit: runs the figures of both alternately, each with its own environment.

Pairs of runs follow each other, so what else the machine does strikes both alike; of each figure the median of the
pairs' ratios counts, with the least and the greatest.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tests.bench.machine import ROOT

PAIRS = 5
LESS_IS_BETTER = ("p50_ms", "p99_ms", "whole_s", "first_s", "at_rest_mib", "most_mib")
MORE_IS_BETTER = ("rate_per_s",)

Numbers = Mapping[str, Mapping[str, float]]  # of each figure, by its key


class CannotCompare(Exception):
    """Says which run ended with an error."""


@frozen(kw_only=True)
class Ratio:
    """How many times better this tree is in one number of a figure, sorted by pair."""

    key: str
    number: str
    of_pairs: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.of_pairs)

    @property
    def is_worse(self) -> bool:
        """In each pair, so that it is no chance."""
        return self.of_pairs[-1] < 1

    def __str__(self) -> str:
        spread = f"{self.of_pairs[0]:.2f}–{self.of_pairs[-1]:.2f}"
        return f"{self.median:6.2f} × ({spread})  {self.key} {self.number}{'  worse' if self.is_worse else ''}"


def ratios(pairs: Sequence[tuple[Numbers, Numbers]]) -> tuple[Ratio, ...]:
    """Returns the ratios of all numbers that both trees have in all pairs of runs; of each pair, this tree is first."""
    found = []
    for key, numbers in pairs[0][0].items():
        for number in (*LESS_IS_BETTER, *MORE_IS_BETTER):
            values = [(ours.get(key, {}).get(number), theirs.get(key, {}).get(number)) for ours, theirs in pairs]
            both = [(ours, theirs) for ours, theirs in values if ours and theirs]
            if number in numbers and len(both) == len(pairs):
                better = [theirs / ours if number in LESS_IS_BETTER else ours / theirs for ours, theirs in both]
                found.append(Ratio(key=key, number=number, of_pairs=sorted(better)))
    return tuple(found)


def compare(commit: str, names: Sequence[str], *, quick: bool, pairs: int = PAIRS) -> tuple[Ratio, ...]:
    """Runs the figures `names`, of both trees as they are committed. Raises CannotCompare."""
    trees = (_tree("HEAD"), _tree(commit))
    done: list[tuple[Numbers, Numbers]] = []
    for number in range(pairs):
        print(f"… pair {number + 1} of {pairs}", file=sys.stderr, flush=True)
        ours, theirs = (_run(tree, names, quick=quick) for tree in trees)
        done.append((ours, theirs))
    return ratios(done)


def _tree(commit: str) -> Path:
    """A clone with the commit, which keeps its environment for the next comparison."""
    sha = _git(ROOT, "rev-parse", "--short=12", f"{commit}^{{commit}}")
    tree = ROOT / "var" / "against" / sha
    if not tree.exists():
        _git(ROOT, "clone", "-q", "--no-checkout", str(ROOT), str(tree))
    _git(tree, "checkout", "-q", "--detach", sha)  # also after an interruption
    return tree


def _run(tree: Path, names: Iterable[str], *, quick: bool) -> Numbers:
    with tempfile.TemporaryDirectory(prefix="innkeeper-bench-") as folder:
        command = [str(tree / "dev"), "bench", *(["--quick"] if quick else []), *names, "--into", folder]
        ended = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise CannotCompare(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr[-2000:]}")
        report = json.loads((Path(folder) / "bench" / "figures.json").read_text())
    return {figure["key"]: figure["numbers"] for figure in report["figures"]}


def _git(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise CannotCompare(f"git {' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout.strip()

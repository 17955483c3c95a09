"""Draws the samples of an hour as one line, as the path of an SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

WIDTH, HEIGHT = 120, 28
_EDGE = 1.5  # half of the stroke stays inside
_HOUR_S = 3600.0
_BUCKETS = 120
_LEAST_SPAN_S = 60.0


@frozen(kw_only=True)
class Sparkline:
    """`line` is the path of the line, `area` that of what is below it; a gap interrupts both."""

    line: str
    area: str
    width: int = WIDTH
    height: int = HEIGHT


def sparkline(
    ages_s: Sequence[float], values: Sequence[float | None], *, whole: float | None = None
) -> Sparkline | None:
    """Returns the line of the values; `ages_s` are seconds before the newest. None with fewer than two known values.

    Its top is `whole`, or the largest value. Samples that are close together are one point, the largest of them.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    top = max(whole or 0.0, *known) or 1.0
    span_s = max(_LEAST_SPAN_S, min(_HOUR_S, max(ages_s, default=0.0)))
    runs = [run for run in _runs(ages_s, values, span_s, top) if run]
    return Sparkline(line=" ".join(map(_line, runs)), area=" ".join(map(_area, runs)))


Point = tuple[float, float]


def _runs(
    ages_s: Sequence[float], values: Sequence[float | None], span_s: float, top: float
) -> Iterable[Sequence[Point]]:
    """Yields the points between gaps, from left to right."""
    run: list[Point] = []
    for bucket in _buckets(ages_s, values, span_s):
        if bucket is None:
            yield run
            run = []
            continue
        age_s, value = bucket
        x = WIDTH * (1 - age_s / span_s)
        y = HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * min(1.0, value / top)
        run.append((round(x, 1), round(y, 1)))
    yield run


def _buckets(
    ages_s: Sequence[float], values: Sequence[float | None], span_s: float
) -> Iterable[tuple[float, float] | None]:
    """Yields age and largest value of each group of neighbours; None for one without any value."""
    size = max(1, -(-len(values) // _BUCKETS))
    for start in range(0, len(values), size):
        pairs = list(zip(ages_s[start : start + size], values[start : start + size], strict=False))
        known = [value for _, value in pairs if value is not None]
        yield (min(span_s, pairs[-1][0]), max(known)) if known else None


def _line(run: Sequence[Point]) -> str:
    return "M" + " ".join(f"{x:g},{y:g}" for x, y in _drawn(run))


def _area(run: Sequence[Point]) -> str:
    points = _drawn(run)
    return (
        f"M{points[0][0]:g},{HEIGHT} " + " ".join(f"{x:g},{y:g}" for x, y in points) + f" {points[-1][0]:g},{HEIGHT}Z"
    )


def _drawn(run: Sequence[Point]) -> Sequence[Point]:
    """A single sample is a short line: a path of one point is not drawn."""
    return run if len(run) > 1 else [run[0], (run[0][0] + 1, run[0][1])]

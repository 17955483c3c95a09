"""Options that choose what a command shows: `--all`, `--columns`, `--sort` and `--watch`. No I/O."""

from __future__ import annotations

from attrs import evolve, frozen

WATCH_INTERVAL_S = 2.0
MIN_WATCH_INTERVAL_S = 0.1
OPTIONS = ("--all", "--columns", "--sort", "--watch")


@frozen(kw_only=True)
class View:
    """The part of a response to show, its order, and how often to show it again. Empty means the default."""

    all: bool = False
    columns: tuple[str, ...] = ()
    sort: str = ""  # a column, after a hyphen if in descending order
    watch_s: float | None = None

    @property
    def is_default(self) -> bool:
        """Whether JSON is shown as the region sent it."""
        return not self.columns and not self.sort


def with_view_option(view: View, word: str, rest: list[str]) -> View | None:
    """Returns the view with the option `word`, whose value may be the first of `rest`; None for another option.

    Raises ValueError if the value is missing or invalid.
    """
    name, equals, value = word.partition("=")
    if name not in OPTIONS:
        return None
    if name == "--all":
        if equals:
            raise ValueError("--all has no value.")
        return evolve(view, all=True)
    if name == "--watch":
        return evolve(view, watch_s=_interval_s(value) if equals else WATCH_INTERVAL_S)
    if not equals:
        if not rest:
            raise ValueError(f"{name} needs a value.")
        value = rest.pop(0)
    if name == "--sort":
        if not value.removeprefix("-"):
            raise ValueError("--sort needs a column, such as --sort name or --sort -memory.")
        return evolve(view, sort=value)
    columns = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    if not columns:
        raise ValueError("--columns needs columns, such as --columns name,state.")
    return evolve(view, columns=columns)


def _interval_s(text: str) -> float:
    try:
        interval_s = float(text.removesuffix("s"))
    except ValueError:
        interval_s = 0.0
    if not MIN_WATCH_INTERVAL_S <= interval_s <= 86_400:
        raise ValueError(f"--watch={text}: the interval is a number of seconds, at least {MIN_WATCH_INTERVAL_S}.")
    return interval_s

"""Messages for invalid fields, shared by the API and the rooms that validate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

REQUIRED = "This field is required."
_MAX_SHOWN = 60  # characters of a value in a message
_MAX_CHOICES = 10
_SIMILAR = 0.6
_UNBOUNDED = 2**31 - 1  # the largest integer of the database, no limit that means something


def no_choice(value: str, choices: Iterable[str]) -> str:
    """For a value that is not one of the fixed `choices`: names all of them, the most similar one first."""
    return f"{shown(value)} is not one of: {', '.join(nearest_first(value, choices))}."


def no_object(kind: str, value: str, choices: Iterable[str] = (), *, near: Iterable[str] = ()) -> str:
    """For the id or name of an object that does not exist.

    Names some of the `choices`, the most similar first; or only the most similar of `near`, if one is.
    """
    number = value.isascii() and value.isdecimal()
    message = f"There is no {kind} {value[:_MAX_SHOWN] if number else shown(value)}"
    known = nearest_first(value, choices)
    if known:
        more = f" and {len(known) - _MAX_CHOICES} more" if len(known) > _MAX_CHOICES else ""
        return f"{message}; there {'is' if len(known) == 1 else 'are'} {', '.join(known[:_MAX_CHOICES])}{more}."
    similar = get_close_matches(value[:_MAX_SHOWN], list(near), n=1, cutoff=_SIMILAR)
    return f"{message}. Did you mean {similar[0]!r}?" if similar else f"{message}."


def nearest_first(value: str, choices: Iterable[str]) -> Sequence[str]:
    """The choices in their order, except that those similar to `value` are first."""
    known = list(choices)
    similar = get_close_matches(value[:_MAX_SHOWN], known, n=3, cutoff=_SIMILAR)
    return [*similar, *(one for one in known if one not in similar)]


def shown(value: object) -> str:
    """The value in quotes, shortened."""
    text = str(value)
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def outside(value: float, minimum: float, maximum: float, unit: str = "") -> str:
    """For a number that is not within the bounds."""
    of_unit = f" {unit}" if unit else ""
    given = f"{value:g}" if isinstance(value, float) else str(value)[:_MAX_SHOWN]
    if maximum < _UNBOUNDED:
        return f"Must be from {_short(minimum)} to {_short(maximum)}{of_unit}, not {given}."
    limit = f"at least {_short(minimum)}" if value < minimum else f"at most {_short(maximum)}"
    return f"Must be {limit}{of_unit}, not {given}."


def no_number(kind: str, value: object, minimum: float, maximum: float) -> str:
    """For a value that is no number of the kind, such as `whole number`."""
    bounds = (
        f"from {_short(minimum)} to {_short(maximum)}" if maximum < _UNBOUNDED else f"of at least {_short(minimum)}"
    )
    return f"Enter a {kind} {bounds}, not {shown(value)}."


def _short(limit: float) -> float:
    return int(limit) if limit == int(limit) else limit

"""Messages for invalid fields, shared by the API and the rooms that validate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from heapq import nlargest
from os.path import commonprefix
from typing import TypeVar

from common.errors import NotFound
from common.words.phrases import first_of

T = TypeVar("T")

REQUIRED = "This field is required."
_MAX_SHOWN = 60  # characters of a value in a message
_MAX_CHOICES = 10
_SIMILAR = 0.6
_MAX_COMPARED = 50
_MAX_WITH_CHOICES = 3
_UNBOUNDED = 2**31 - 1  # the largest integer of the database: a limit that messages do not mention


def no_choice(value: str, choices: Iterable[str]) -> str:
    """Returns the message for a value that is none of the fixed `choices`: names all, the most similar first."""
    return f"{shown(value)} is not one of: {', '.join(nearest_first(value, choices))}."


def no_object(kind: str, value: str, choices: Iterable[str] = (), *, near: Iterable[str] = ()) -> str:
    """Returns the message for the id or name of an object that does not exist.

    It names some of the `choices`, the most similar first, or only the most similar of `near`, if one is similar.
    """
    number = value.isascii() and value.isdecimal()
    message = f"There is no {kind} {value[:_MAX_SHOWN] if number else shown(value)}"
    known = nearest_first(value, choices)
    if known:
        return f"{message}; there {'is' if len(known) == 1 else 'are'} {first_of(known, _MAX_CHOICES)}."
    similar = _similar(value, list(near), most=1)
    return f"{message}. Did you mean {similar[0]!r}?" if similar else f"{message}."


def existing(value: T | None, kind: str, id_or_name: object) -> T:
    """Returns `value`, the object. Raises NotFound for None."""
    if value is None:
        raise NotFound(no_object(kind, str(id_or_name)))
    return value


def no_objects(kind: str, values: Sequence[str], choices: Sequence[str]) -> list[str]:
    """Returns the message of `no_object` for each of the values; only the first three messages name choices."""
    return [
        no_object(kind, value, choices if number < _MAX_WITH_CHOICES else ()) for number, value in enumerate(values)
    ]


def no_such(kind: str, values: Sequence[str], choices: Iterable[str] = ()) -> str:
    """Returns the message for values of a field that name no object. Clients of MAAS match its beginning.

    It names some of the `choices`, those that are similar to the first value first.
    """
    message = f"No such {kind}: {first_of([shown(one) for one in values], _MAX_CHOICES)}."
    known = nearest_first(values[0], choices)
    if not known:
        return message
    return f"{message} There {'is' if len(known) == 1 else 'are'} {first_of(known, _MAX_CHOICES)}."


def none_such(kind: str, values: Sequence[str], choices: Sequence[str]) -> list[str]:
    """Returns the message of `no_such` for each of the values; only the first three messages name choices."""
    return [
        no_such(kind, [value], choices if number < _MAX_WITH_CHOICES else ()) for number, value in enumerate(values)
    ]


def nearest_first(value: str, choices: Iterable[str]) -> Sequence[str]:
    """Returns the choices in their order, except that those similar to `value` are first."""
    known = list(choices)
    similar = _similar(value, known, most=3)
    return [*similar, *(one for one in known if one not in similar)]


def _similar(value: str, choices: Sequence[str], *, most: int) -> Sequence[str]:
    """Returns similar choices. A comparison takes up to 0.1 ms: of many, only those with similar ends are compared."""
    wanted = value[:_MAX_SHOWN]
    if len(choices) > _MAX_COMPARED:
        backwards = wanted[::-1]
        choices = nlargest(_MAX_COMPARED, choices, key=lambda one: _same(wanted, one) + _same(backwards, one[::-1]))
    return get_close_matches(wanted, choices, n=most, cutoff=_SIMILAR)


def _same(text: str, other: str) -> int:
    """Returns the number of characters that both texts have in common at the beginning."""
    return len(commonprefix((text, other)))  # noqa: RUF071  # by characters, as is meant here


def shown(value: object) -> str:
    """Returns the value in quotes, shortened."""
    text = str(value)
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def outside(value: float, minimum: float, maximum: float, unit: str = "") -> str:
    """Returns the message for a number that is not within the bounds."""
    of_unit = f" {unit}" if unit else ""
    given = f"{value:g}" if isinstance(value, float) else str(value)[:_MAX_SHOWN]
    if maximum < _UNBOUNDED:
        return f"Must be from {_short(minimum)} to {_short(maximum)}{of_unit}, not {given}."
    limit = f"at least {_short(minimum)}" if value < minimum else f"at most {_short(maximum)}"
    return f"Must be {limit}{of_unit}, not {given}."


def no_number(kind: str, value: object, minimum: float, maximum: float) -> str:
    """Returns the message for a value that is not a number of the kind, such as `whole number`."""
    bounds = (
        f"from {_short(minimum)} to {_short(maximum)}" if maximum < _UNBOUNDED else f"of at least {_short(minimum)}"
    )
    return f"Enter a {kind} {bounds}, not {shown(value)}."


def _short(limit: float) -> float:
    return int(limit) if limit == int(limit) else limit

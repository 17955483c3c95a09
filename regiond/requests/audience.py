"""Declares what only administrators read of a value, and returns values as their reader may see them.

Two rules, so that neither a new endpoint nor a new page has to know of them: what an attribute declares
(`others_read`), where a room returns the value, and what a text marks (`common.words.hidden_text`), where an answer
leaves the region.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any, TypeVar

from attrs import evolve, fields, has

from common.errors import InnkeeperError
from common.words.hidden_text import REASON, masked, revealed
from regiond.requests.caller import Caller

HIDDEN_REASON = f"{REASON}."
_OTHERS_READ = "others_read"

T = TypeVar("T")


def others_read(instead: Any) -> Mapping[str, Any]:
    """Returns the metadata of an attribute that only administrators read; others read `instead`."""
    return {_OTHERS_READ: lambda _: instead}


def others_read_that_there_is_one() -> Mapping[str, Any]:
    """Returns the metadata of a text of servers: others read HIDDEN_REASON instead, or None if there is none."""
    return {_OTHERS_READ: lambda text: None if text is None else HIDDEN_REASON}


def shown_to(caller: Caller | None, value: T) -> T:
    """Returns the value as the caller may see it, with all values in it. Without a caller the region itself reads."""
    if caller is None or caller.is_admin:
        return value
    shown: T = _for_others(value)
    return shown


def _for_others(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_for_others, value)) if value and has(type(value[0])) else value
    kind: Any = type(value)
    if not has(kind):
        return value
    changes = {}
    for name, instead in _attributes(kind):
        found = getattr(value, name)
        shown = _for_others(found) if instead is None else instead(found)
        if shown is not found:
            changes[name] = shown
    return evolve(value, **changes) if changes else value


@cache
def _attributes(kind: Hashable) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    known: Any = kind
    return tuple((one.name, one.metadata.get(_OTHERS_READ)) for one in fields(known) if one.init)


def text_shown_to(caller: Caller | None, text: str) -> str:
    """Returns a text of an answer without marks: nobody but an administrator reads what they hide."""
    return revealed(text) if caller is not None and caller.is_admin else masked(text)


def texts_shown_to(caller: Caller | None, value: Any) -> Any:
    """Returns an answer to an RPC client with each of its texts as `text_shown_to`."""
    match value:
        case str() if type(value) is str:  # no StrEnum
            return text_shown_to(caller, value)
        case Mapping():
            return {text_shown_to(caller, key): texts_shown_to(caller, one) for key, one in value.items()}
        case list() | tuple():
            return type(value)(texts_shown_to(caller, one) for one in value)
        case _ if has(kind := type(value)):
            found = {name: getattr(value, name) for name, _ in _attributes(kind)}
            shown = {name: texts_shown_to(caller, one) for name, one in found.items()}
            return evolve(value, **{name: one for name, one in shown.items() if one != found[name]})
        case _:
            return value


def error_shown_to(caller: Caller | None, error: InnkeeperError) -> InnkeeperError:
    """Returns the error, in place, for an RPC client; the region's log has what is hidden."""
    error.message = text_shown_to(caller, error.message)
    error.args = (error.message,)
    error.details = texts_shown_to(caller, error.details)
    return error

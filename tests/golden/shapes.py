"""The shape of JSON values: keys and types, without what the values are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_WORDS = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "text"}
_DIGITS = re.compile(r"\d+")


def merged_shape(values: Iterable[Any]) -> Any:
    """Returns the shape that all these values have: a map, a list of one shape, or the names of the types.

    A key that not all maps have ends with `?`. `N` replaces numbers in keys that are no names, such as `0/2048`.
    """
    found = list(values)
    maps = [value for value in found if isinstance(value, Mapping)]
    lists = [value for value in found if isinstance(value, list)]
    plain = sorted({_WORDS[type(value)] for value in found if not isinstance(value, Mapping | list)})
    shapes: list[Any] = [*([_of_maps(maps)] if maps else []), *([_of_lists(lists)] if lists else [])]
    if plain:
        shapes.append(" or ".join(plain))
    return shapes[0] if len(shapes) == 1 else {"one of": shapes}


def _of_maps(maps: list[Mapping[str, Any]]) -> dict[str, Any]:
    named = [[(_key(key), value) for key, value in one.items()] for one in maps]
    keys = sorted({key for one in named for key, _ in one})
    everywhere = {key for key in keys if all(key in {each for each, _ in one} for one in named)}
    return {
        key if key in everywhere else f"{key}?": merged_shape(
            value for one in named for each, value in one if each == key
        )
        for key in keys
    }  # fmt: skip


def _of_lists(lists: list[list[Any]]) -> list[Any]:
    elements = [element for one in lists for element in one]
    return [merged_shape(elements)] if elements else []


def _key(key: str) -> str:
    return key if key.isidentifier() else _DIGITS.sub("N", key)

"""Zones and resource pools: how people group hosts and machines."""

from __future__ import annotations

import re
from typing import get_args

from attrs import frozen

from common.errors import InvalidRequest
from regiond.field_words import REQUIRED, no_choice
from regiond.placement.place import Strategy

DEFAULT_ZONE_ID = 1
DEFAULT_POOL_ID = 0
LONGEST_NAME = 256
_NAME = re.compile(r"\w[\w -]*")


@frozen(kw_only=True)
class Zone:
    id: int
    name: str
    description: str


@frozen(kw_only=True)
class ResourcePool:
    """`strategy` is how machines for it are placed, `spread` or `pack`; None is the region's own way."""

    id: int
    name: str
    description: str
    strategy: Strategy | None = None


def check_group(name: str | None, description: str | None) -> None:
    """Raises InvalidRequest that says everything wrong; None is a field that was not given.

    A name has 1 to 256 characters: a letter, digit or underscore first, then also blanks and hyphens.
    """
    wrong: dict[str, list[str]] = {}
    if name is not None and (message := _wrong_name(name)):
        wrong["name"] = [message]
    if description is not None and "\0" in description:
        wrong["description"] = ["The NUL character is not allowed."]
    if wrong:
        raise InvalidRequest.of(wrong)


def check_strategy(strategy: str | None) -> None:
    """Raises InvalidRequest; empty means the region's own, None a field that was not given."""
    if strategy and strategy not in get_args(Strategy):
        raise InvalidRequest.of({"strategy": [no_choice(strategy)]})


def _wrong_name(name: str) -> str | None:
    if not name:
        return REQUIRED
    if len(name) > LONGEST_NAME:
        return f"At most {LONGEST_NAME} characters are allowed, not {len(name)}."
    if not _NAME.fullmatch(name):
        return "Start with a letter, digit or underscore; then also blanks and hyphens are allowed, and nothing else."
    return None

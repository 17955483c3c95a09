"""A command of a link: its name and the types of its request and response."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import field, frozen

Q = TypeVar("Q")
R = TypeVar("R")


@frozen
class Command(Generic[Q, R]):
    """A call by name, with the types of request and reply. With `streams`, the reply is a stream of items, which has
    no limit in total with `endless`.
    """

    name: str
    request: type[Q]
    reply: type[R]
    streams: bool = field(default=False, kw_only=True)
    endless: bool = field(default=False, kw_only=True)


@frozen(kw_only=True)
class Done:
    """An empty response."""

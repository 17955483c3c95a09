"""Composes whose claims are about to be made. A look may not see them yet, and places as if it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from regiond.placement.model import Verdict, Wish
from regiond.placement.one_after_another import Taking


class UnderWay:
    def __init__(self) -> None:
        self._takings: dict[object, Taking] = {}

    @contextmanager
    def taking(self, wish: Wish, verdict: Verdict) -> Iterator[None]:
        """While the claims of the machine are made, until it is known whether they were."""
        key = object()
        self._takings[key] = Taking(wish=wish, verdict=verdict)
        try:
            yield
        finally:
            del self._takings[key]

    def now(self) -> Mapping[object, Taking]:
        """To be asked before the database is and again afterwards: what ended meanwhile may not be seen there, and
        what was placed by the look before this one may only have begun meanwhile. Some are seen twice."""
        return dict(self._takings)

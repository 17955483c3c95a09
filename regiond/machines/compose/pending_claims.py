"""Registers composes whose claims are being committed; placement counts these claims as taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from regiond.placement.model import Candidate, Evaluation, PendingClaim, Requirements


class PendingClaims:
    """The pending claims of this process. A query of the database may or may not see them yet."""

    def __init__(self) -> None:
        self._claims: dict[object, PendingClaim] = {}

    @contextmanager
    def register(self, requirements: Requirements, evaluation: Evaluation, host: Candidate) -> Iterator[None]:
        """Counts the claims as taken until the block ends, when their transaction is committed or rolled back."""
        key = object()
        self._claims[key] = PendingClaim(requirements=requirements, evaluation=evaluation, host=host)
        try:
            yield
        finally:
            del self._claims[key]

    def snapshot(self) -> Mapping[object, PendingClaim]:
        """Returns the pending claims. Read this before the query and again after it, and use both.

        A claim that ended during the query may be invisible to it; one placed by the previous query may be registered
        only during this one. A claim that the query did see is then counted twice, which is harmless.
        """
        return dict(self._claims)

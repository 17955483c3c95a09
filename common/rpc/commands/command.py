"""A command of a link: its name and the types of its request and response."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from attrs import field, frozen

from common.errors import InvalidRequest
from common.serialization import from_dict

Q = TypeVar("Q")
R = TypeVar("R")
_DRY_RUN = "dry_run"


@frozen
class Command(Generic[Q, R]):
    """A call by name, with the types of request and reply. With `streams`, the reply is a stream of items, which has
    no limit in total with `endless`. Callers that name no deadline use `deadline_s`.
    """

    name: str
    request: type[Q]
    reply: type[R]
    streams: bool = field(default=False, kw_only=True)
    endless: bool = field(default=False, kw_only=True)
    deadline_s: float = field(default=60.0, kw_only=True)

    def request_of(self, plain: Any) -> Q:
        """Returns the request as a value. Fields of a newer peer are ignored, but never one that asks for a dry run.

        Raises InvalidRequest.
        """
        parts = (plain, *plain.values()) if isinstance(plain, dict) else ()
        asks = any(isinstance(part, dict) and part.get(_DRY_RUN) not in (None, False) for part in parts)
        if asks and not hasattr(self.request, _DRY_RUN):
            raise InvalidRequest(
                f"{self.name} has no dry run, so nothing was done. To carry it out, send it without {_DRY_RUN}."
            )
        return from_dict(plain, self.request)


@frozen(kw_only=True)
class Done:
    """An empty response."""

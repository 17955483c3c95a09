"""The header `traceparent` of W3C Trace Context: reads it and writes it."""

from __future__ import annotations

import re

from attrs import frozen

_VERSION = "00"
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_SAMPLED = 1
_LONGEST = 256  # of versions to come, which may say more


@frozen(kw_only=True)
class Traceparent:
    """The span of another process, or of an earlier time, below which a trace continues."""

    trace_id: int
    span_id: int
    sampled: bool

    @classmethod
    def read(cls, text: str) -> Traceparent | None:
        """Returns the span; None if the text is none, which the standard wants to be ignored."""
        found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        if version == "ff" or (version == _VERSION and more is not None):
            return None
        trace, span = int(trace_id, 16), int(span_id, 16)
        if not trace or not span:
            return None
        return cls(trace_id=trace, span_id=span, sampled=bool(int(flags, 16) & _SAMPLED))

    def __str__(self) -> str:
        return f"{_VERSION}-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"

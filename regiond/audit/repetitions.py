"""Equal rejected requests of an account: the first has an entry, the others are counted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from attrs import define, evolve

from regiond.audit.model import AuditAnswer, AuditRequest

MAX_KEYS = 1000  # a kilobyte each

Rejection = tuple[AuditRequest, AuditAnswer]


@define
class _Repeated:
    last: Rejection
    count: int = 0  # since the last entry


class Repetitions:
    """Requests are equal if account, credential, address, action, object and answer are; fields may differ.

    An entry is that of the last of them, and its `not_recorded` counts the others since the entry before.
    """

    def __init__(self, *, size: int = MAX_KEYS) -> None:
        self._size = size
        self._by_key: OrderedDict[Hashable, _Repeated] = OrderedDict()

    def take(self, request: AuditRequest, answer: AuditAnswer) -> tuple[Rejection, ...]:
        """Returns the entries to write now: this one unless it is a repetition, and what no longer fits."""
        key = _key(request, answer)
        known = self._by_key.get(key)
        if known is not None:
            known.last, known.count = (request, answer), known.count + 1
            return ()
        self._by_key[key] = _Repeated(last=(request, answer))
        evicted = self._by_key.popitem(last=False)[1] if len(self._by_key) > self._size else None
        return (*_entry(evicted), (request, answer))

    def flush(self) -> tuple[Rejection, ...]:
        """Returns the entries of all repetitions since the last call. What was not repeated is then new again."""
        entries = tuple(entry for one in self._by_key.values() for entry in _entry(one))
        self._by_key = OrderedDict((key, _Repeated(last=one.last)) for key, one in self._by_key.items() if one.count)
        return entries


def _entry(repeated: _Repeated | None) -> tuple[Rejection, ...]:
    if repeated is None or not repeated.count:
        return ()
    request, answer = repeated.last
    return ((evolve(request, not_recorded=repeated.count - 1), answer),)


def _key(request: AuditRequest, answer: AuditAnswer) -> Hashable:
    subject = (request.action, request.object, request.object_name)
    return (request.username, request.credential, request.address, *subject, answer.status, answer.error)

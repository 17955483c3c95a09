"""Lets requests that change an object only if it is unchanged (`If-Match`) run one after the other."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class ChangeLocks:
    """One lock for each path, in this region process: of two changes of one version the second is rejected.

    Another region, or a request without the header, can change the object between the comparison and the change.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, path: str) -> asyncio.Lock:
        return self._locks.setdefault(path, asyncio.Lock())

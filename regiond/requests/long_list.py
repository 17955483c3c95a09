"""A list that can be long: its keys are read at once, its objects in batches."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from attrs import field, frozen

T = TypeVar("T")
U = TypeVar("U")

BATCH = 50  # machines: reading them takes the event loop some 5 ms


@frozen(kw_only=True)
class LongList(Generic[T]):
    """The objects with `keys`, in that order, each in its state when its batch is read.

    `keys` are read when the list is made. An object that has been deleted since is left out; none appears twice.
    Between two batches the list holds no connection and no transaction, so a client may read slowly. `keyed_by` is the
    JSON key whose ascending values `keys` are, if they are one's: a page is read without the objects beside it.
    """

    keys: Sequence[Any] = field(repr=False)  # ids; 50,000 of them take 2 MB
    read: Callable[[Sequence[Any]], Awaitable[Sequence[T]]]
    batch: int = BATCH
    keyed_by: str | None = None

    @classmethod
    def of(cls, objects: Iterable[T]) -> LongList[T]:
        """Returns a list of objects that are in memory already."""
        found = tuple(objects)

        async def read(positions: Sequence[Any]) -> Sequence[T]:
            return [found[position] for position in positions]

        return cls(keys=range(len(found)), read=read)

    def transformed(self, change: Callable[[Sequence[T]], Sequence[U]]) -> LongList[U]:
        """Returns the list in which `change` has replaced the objects of each batch."""

        async def read(keys: Sequence[Any]) -> Sequence[U]:
            return change(await self.read(keys))

        return LongList(keys=self.keys, read=read, batch=self.batch)

    async def batches(self) -> AsyncGenerator[Sequence[T], None]:
        """Yields the objects, at most `batch` at a time. Raises what reading them raises."""
        for start in range(0, len(self.keys), self.batch):
            yield await self.read(self.keys[start : start + self.batch])

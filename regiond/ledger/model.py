"""What a guest holds of a server. Pure values, the same for machines of ours and foreign guests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

ClaimRow = tuple[str, int | None, str | None, int]  # resource, storage pool (row id), key, amount


def pages_key(node_id: int, size_kib: int) -> str:
    """The key of the huge pages of one size on one node: `NODE/SIZE_KIB`."""
    return f"{node_id}/{size_kib}"


def read_pages_key(key: str) -> tuple[int, int]:
    """Node id and size in KiB. Raises ValueError for anything but a key of `pages_key`."""
    node_id, size_kib = key.split("/")
    return int(node_id), int(size_kib)


def page_size_kib(huge_pages: Mapping[str, int]) -> int | None:
    """That of the pages of one guest, which are all of one size. None where it has no huge pages."""
    return min((read_pages_key(key)[1] for key in huge_pages), default=None)


def _sorted_once(core_ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({*core_ids}))


def _positive(amounts: Mapping[str, int]) -> dict[str, int]:
    return {key: amount for key, amount in amounts.items() if amount}


@frozen(kw_only=True)
class Counted:
    """What is counted piece by piece: single cores, huge pages by `NODE/SIZE_KIB`, virtual functions by port."""

    pinned_core_ids: tuple[int, ...] = field(default=(), converter=_sorted_once)
    huge_pages: Mapping[str, int] = field(factory=dict, converter=_positive)
    functions: Mapping[str, int] = field(factory=dict, converter=_positive)

    def rows(self) -> Iterable[ClaimRow]:
        for core_id in self.pinned_core_ids:
            yield "pinned_core", None, str(core_id), 1
        for key, pages in self.huge_pages.items():
            yield "huge_pages", None, key, pages
        for port, functions in self.functions.items():
            yield "virtual_functions", None, port, functions


NOTHING_COUNTED = Counted()


def counted_of(rows: Iterable[tuple[str, str, int]]) -> Counted:
    """From resource, key and amount of the claims of one guest; others than counted ones are passed over."""
    rows = list(rows)
    return Counted(
        pinned_core_ids=[int(key) for resource, key, _ in rows if resource == "pinned_core"],
        huge_pages={key: amount for resource, key, amount in rows if resource == "huge_pages"},
        functions={key: amount for resource, key, amount in rows if resource == "virtual_functions"},
    )


@frozen(kw_only=True)
class Held:
    """Everything that one guest holds; `storage_bytes` by storage pool (row id). `memory_mib` is in no huge page."""

    cores: int
    memory_mib: int
    storage_bytes: Mapping[int, int] = field(factory=dict)
    counted: Counted = NOTHING_COUNTED

    def rows(self) -> Iterable[ClaimRow]:
        yield "cores", None, None, self.cores
        yield "memory_mib", None, None, self.memory_mib
        for pool_id, amount in self.storage_bytes.items():
            yield "storage_bytes", pool_id, None, amount
        yield from self.counted.rows()

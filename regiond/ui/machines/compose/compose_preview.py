"""The preview of a compose: the host before and after, how many VMs fit, and what is free. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from common.hosts.capacity import ResourceCapacity
from regiond.hosts.model import HostView
from regiond.ui.hosts.host_row import HostRow
from regiond.ui.machines.compose.compose_form import PIN_IDS, ComposeForm
from regiond.ui.machines.compose.compose_request import parse_cores
from regiond.ui.texts import text
from regiond.ui.views import formats
from regiond.ui.views.meter import AskedMeter, asked_meter

_KIB_IN_BYTES = 1024


@frozen(kw_only=True)
class PoolChoice:
    """A storage pool by its name. `most_free_bytes` is what the host with the most has free in it."""

    name: str
    label: str
    most_free_bytes: int


@frozen(kw_only=True)
class Preview:
    """`placement` is the API's JSON of the dry run; None while there are `problems`, which are by field.

    `hosts` are the hosts of the VMs that fit, each with their number. `helps` are texts by the field below which they
    stand.
    """

    placement: Mapping[str, Any] | None = None
    problems: Mapping[str, Sequence[str]] = field(factory=dict)
    labels: Mapping[str, str] = field(factory=dict)
    wanted: int = 1
    hosts: Sequence[tuple[str, int]] = ()
    meters: Sequence[AskedMeter] = ()
    helps: Mapping[str, str] = field(factory=dict)
    leaves: Mapping[str, int] = field(factory=dict)
    refused: str = ""
    host: HostView | None = None  # the chosen one

    @property
    def fitting(self) -> int:
        return sum(count for _, count in self.hosts)


def preview_of(form: ComposeForm, placement: Mapping[str, Any]) -> Preview:
    """The preview of a form without problems. A placement that an error has says nothing of capacity."""
    hosts = Counter(one["host"] for one in placement.get("placements", ()))
    asked = _amounts(form, placement)
    return Preview(
        placement=placement,
        labels=form.labels,
        wanted=form.count,
        hosts=hosts.most_common(),
        meters=tuple(_meters(placement, asked, hosts[placement["chosen"]])),
        helps=dict(_helps(form, placement)),
        leaves=asked,
        refused=placement.get("refused") or "",
    )


def _amounts(form: ComposeForm, placement: Mapping[str, Any]) -> Mapping[str, int]:
    """Returns the amounts that one VM takes, in the units of the API's capacities."""
    if form.pins == PIN_IDS:
        cores = len(parse_cores(form.text("pinned_cores")))
    else:
        cores = int(form.text("cores").partition(".")[0])
    return {
        "cores": cores,
        "memory_mib": 0 if placement["huge_pages"] else int(form.text("memory").partition(".")[0]),
        "storage_bytes": sum(disk["size"] for disk in placement["disks"]),
    }


def _capacity(placement: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = (one.get("capacity") for one in placement["fitting"] if one["host"] == placement["chosen"])
    return next(found, None)


def _meters(placement: Mapping[str, Any], asked: Mapping[str, int], count: int) -> Iterator[AskedMeter]:
    """The chosen host before and after as many of the VMs as it takes."""
    capacity = _capacity(placement)
    if capacity is None or not count:
        return
    yield asked_meter(text("CPU cores"), _resource(capacity["cores"]), count * asked["cores"], unit=text("cores"))
    if asked["memory_mib"]:
        memory = _resource(capacity["memory_mib"])
        yield asked_meter(text("RAM"), memory, count * asked["memory_mib"], unit="GiB", printed=formats.gib)
    for pages in _page_sizes(placement):
        of_size = capacity["huge_pages"].get(str(pages // _KIB_IN_BYTES))
        if of_size is not None:
            number = sum(one["pages"] for one in placement["huge_pages"] if one["page_size"] == pages)
            label = text("Huge pages of {size}", size=formats.memory(pages // _KIB_IN_BYTES // _KIB_IN_BYTES))
            yield asked_meter(label, _resource(of_size), count * number, unit=text("pages"))
    sizes: Counter[str] = Counter()
    for disk in placement["disks"]:
        sizes[disk["storage_pool"]] += disk["size"]
    for name, size_bytes in sizes.items():
        if (pool := capacity["storage_pools"].get(name)) is not None:
            unit, amount = formats.storage_scale(pool["claimable"])
            yield asked_meter(
                text("Storage pool {name}", name=name), _resource(pool), count * size_bytes, unit=unit, printed=amount
            )


def _page_sizes(placement: Mapping[str, Any]) -> list[int]:
    return sorted({one["page_size"] for one in placement["huge_pages"]})


def _resource(amount: Mapping[str, int]) -> ResourceCapacity:
    return ResourceCapacity(**amount)


def _helps(form: ComposeForm, placement: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    fitting = [one["capacity"] for one in placement["fitting"] if one.get("capacity")]
    if fitting:
        cores = [one["cores"]["free"] for one in fitting]
        memory = [one["memory_mib"]["free"] for one in fitting]
        yield "cores", text("{amount} free where it fits", amount=_range(min(cores), max(cores), formats.number))
        in_gib = _range(min(memory), max(memory), formats.gib)
        yield "memory", text("{amount} free where it fits", amount=f"{in_gib} GiB")
    disks = {disk["label"]: disk for disk in placement["disks"]}
    pools = (_capacity(placement) or {}).get("storage_pools", {})
    for position, row in enumerate(form.disks):
        disk = disks.get("root" if position == 0 else f"disk{row.number}")
        if disk is not None and (pool := pools.get(disk["storage_pool"])) is not None:
            free = formats.storage(pool["free"])
            pool_name, host = disk["storage_pool"], placement["chosen"]
            yield f"disk{row.number}-pool", text("{pool} on {host}: {free} free", pool=pool_name, host=host, free=free)
        elif disk is None and row.pool and (most := _most_free(placement, row.pool)) is not None:
            at_most = text("At most {amount} free in {pool} on one host", amount=formats.storage(most), pool=row.pool)
            yield f"disk{row.number}-pool", at_most


def _most_free(placement: Mapping[str, Any], pool: str) -> int | None:
    capacities = (one.get("capacity") or {} for one in (*placement["fitting"], *placement["rejected"]))
    found = (one.get("storage_pools", {}).get(pool) for one in capacities)
    return max((one["free"] for one in found if one is not None), default=None)


def _range(least: int, most: int, text: Any) -> str:
    return str(text(least)) if text(least) == text(most) else f"{text(least)}–{text(most)}"


def pool_choices(rows: Sequence[HostRow], host: str) -> list[PoolChoice]:
    """The storage pools of the host of this name, else of all hosts: with their free space."""
    shown = [row.view for row in rows if row.name == host] or [row.view for row in rows]
    found: dict[str, int] = {}
    for view in shown:
        for name, free_bytes in _free_by_pool(view):
            found[name] = max(found.get(name, 0), free_bytes)
    return [
        PoolChoice(name=name, label=_free_in(name, free_bytes, is_exact=len(shown) == 1), most_free_bytes=free_bytes)
        for name, free_bytes in sorted(found.items())
    ]


def _free_in(pool: str, free_bytes: int, *, is_exact: bool) -> str:
    free = formats.storage(free_bytes)
    return (
        text("{pool}: {amount} free", pool=pool, amount=free)
        if is_exact
        else text("{pool}: up to {amount} free", pool=pool, amount=free)
    )


def _free_by_pool(view: HostView) -> Iterator[tuple[str, int]]:
    for pool in view.storage_pools:
        if pool.missing_since is None:
            yield pool.name, pool.capacity.free if pool.is_available else 0

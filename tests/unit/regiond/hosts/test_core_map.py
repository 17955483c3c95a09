"""The core map of a NUMA node."""

from __future__ import annotations

from attrs import evolve

from regiond.hosts.model import GuestView
from regiond.hosts.numa.numa_model import CoreUsage, NumaNodeView, ServerUsage, Usage
from regiond.ui.hosts.core_map import core_map


def guest(name: str, *cores: int, machine: bool = True) -> GuestView:
    return GuestView(
        id=hash(name), host_id=1, host_name="alder", name=name, project="", machine_id=1 if machine else None,
        system_id="abc123" if machine else None, hostname=name if machine else None, power_state="on", cores=len(cores),
        memory_mib=1024, pinned_core_ids=cores, huge_pages_backed=False,
    )  # fmt: skip


def node(ours: tuple[int, ...] = (), others: tuple[int, ...] = ()) -> NumaNodeView:
    cores = CoreUsage(
        total=tuple(range(8)), used_by_ours=ours, used_by_others=others, siblings=((0, 4), (1, 5), (2, 6), (3, 7))
    )
    empty = Usage(total=0)
    return NumaNodeView(
        node_id=0, cores=cores, memory_mib=0, general_mib=empty, huge_pages=(), network_devices=(), guest_ids=(),
        server=ServerUsage(cores=empty, general_mib=empty),
    )  # fmt: skip


def test_threads_of_a_core_stand_together() -> None:
    drawn = core_map(node(), ())
    assert [[cell.core_id for cell in core.cells] for core in drawn.cores] == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert drawn.description == "Node 0: 8 cores. 8 free."


def test_each_state_has_its_look_and_its_row() -> None:
    guests = [guest("db", 1, 5), guest("web", 2), guest("cache", 2), guest("foreign", 3, machine=False)]
    drawn = core_map(node(ours=(1, 2, 5), others=(3,)), guests, marked="db")
    states = {cell.core_id: cell.state for core in drawn.cores for cell in core.cells}
    assert states == {0: "free", 4: "free", 1: "pinned", 5: "pinned", 2: "double", 6: "free", 3: "others", 7: "free"}
    assert [(row.cores, row.word, row.guests, row.is_marked) for row in drawn.rows] == [
        ("0, 4, 6–7", "Free", (), False),
        ("1, 5", "Pinned by one VM", ("db",), True),
        ("2", "Pinned by two or more", ("cache", "web"), False),
        ("3", "Pinned, not ours", ("foreign",), False),
    ]


def test_a_host_without_siblings_has_cores_of_one_thread() -> None:

    one = node()
    drawn = core_map(evolve(one, cores=evolve(one.cores, siblings=())), ())
    assert [len(core.cells) for core in drawn.cores] == [1] * 8

"""The pinned cores and huge pages of a VM, as far as MAAS knows them, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_NOT_ASKED = "virsh"


def known_pins(
    power_type: str, pinned_cores: tuple[int, ...], *, huge_pages: bool
) -> tuple[tuple[int, ...] | None, bool | None]:
    """Returns both, or None for what MAAS does not know: of libvirt it reads neither."""
    if power_type != _NOT_ASKED:
        return pinned_cores, huge_pages
    return pinned_cores or None, huge_pages or None


def pins_in_words(pinned_cores: Iterable[int], node_of: Mapping[int, int]) -> str:
    """Returns `0, 1 (NUMA node 0)`, or `none`; `node_of` has the node of each core of the host that is known."""
    cores = sorted(pinned_cores)
    nodes = sorted({node_of[one] for one in cores if one in node_of})
    where = f" (NUMA node{'s' if len(nodes) > 1 else ''} {_listed(nodes)})" if nodes else ""
    return f"{_listed(cores)}{where}" if cores else "none"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
